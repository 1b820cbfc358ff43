"""`torchrun ... -m kubeml`: a worker on one of several machines, of the function that TRAIN_MODULE names.

torchrun --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint HOST:PORT --max-restarts 3 -m kubeml
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from kubeml.checkpoints import Checkpoints
from kubeml.errors import KubeError
from kubeml.options import Options
from kubeml.seats import Seat
from kubeml.workers import Task, Worker, train_part


def main() -> int:
    """Train this worker's part; worker 0 hands over the result as the train image does."""
    from dataclasses import replace

    options = replace(Options.read(), static=True)  # torchrun says how many there are
    seat = Seat.read()
    folder = Path("models") / f".{options.model_name}.training"
    folder.mkdir(parents=True, exist_ok=True)
    task = Task(options=options, folder=folder, fingerprint="", limit=seat.workers)
    worker = Worker(task, seat)

    def stop(*_: Any) -> None:
        worker.is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    result = train_part(task, seat, worker)
    if seat.rank == 0:
        if result["status"] == "finished":
            Checkpoints(folder).clear()
        text = json.dumps(result) + "\n"
        path = os.environ.get("MODELYARD_RESULT")
        Path(path).write_text(text) if path else print(text, end="", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KubeError as error:
        sys.exit(f"error: {error}")
