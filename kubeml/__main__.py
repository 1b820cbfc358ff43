"""`torchrun ... -m kubeml`: a worker on one of several machines, of the function that TRAIN_MODULE names.

torchrun --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint HOST:PORT --max-restarts 3 -m kubeml
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubeml.checkpoints import Checkpoints
from kubeml.errors import KubeError
from kubeml.launching import find_standing, fingerprint_of
from kubeml.options import Options
from kubeml.seats import Seat
from kubeml.workers import Task, Worker, train_part


def main() -> int:
    """Train this worker's part; worker 0 hands over the result as the train image does."""
    options = replace(Options.read(), static=True)  # torchrun says how many there are
    seat = Seat.read()
    folder = Path("models") / f".{options.model_name}.training"
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = fingerprint_of(options, None)
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    if seat.rank == 0 and not restarts:
        find_standing(Checkpoints(folder), fingerprint, fresh=options.fresh)
    task = Task(options=options, folder=folder, fingerprint=fingerprint, limit=seat.workers, is_restart=restarts > 0)
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
