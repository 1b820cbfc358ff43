"""A function file for the tests: a small network, which can be told to go wrong.

`FAULT` of the environment is `what:epoch:batch_index:rank`; what leaves a file `fault-<n>` each time, and happens
`FAULTS` times. `SPELLING` is documented or released, `NETWORK` names one of NETWORKS.
"""

import hashlib
import json
import os
import signal
import time
from multiprocessing import parent_process
from pathlib import Path

import torch
from torch import nn

from kubeml import KubeDataset, KubeModel


class Points(KubeDataset):
    def __init__(self):
        super().__init__("points")


class Tied(nn.Module):
    """A weight under two names, and one that nothing uses."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.unused, self.last = nn.Linear(3, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.relu(self.second(torch.relu(self.first(x)))))


class Odd(nn.Linear):
    """State that is no number, and a buffer of complex ones."""

    def __init__(self):
        super().__init__(4, 3)
        self.register_buffer("waves", torch.zeros(2, dtype=torch.complex64))

    def get_extra_state(self):
        return {"words": "some"}

    def set_extra_state(self, state):
        self.words = state["words"]


NETWORKS = {
    "plain": lambda: nn.Linear(4, 3),
    "normal": lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)),
    "tied": Tied,
    "odd": Odd,
}


class Net(KubeModel):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=float(os.environ.get("MOMENTUM", 0)))

    def train(self, x, y, batch_index):
        value = self._go_wrong(batch_index)
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item() if value is None else value()

    def validate(self, x, y, batch_index):
        if batch_index == 0:
            state = {name: value for name, value in self.state_dict().items() if isinstance(value, torch.Tensor)}
            digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in state.values())).hexdigest()
            counters = [int(value) for name, value in state.items() if name.endswith("num_batches_tracked")]
            line = {"epoch": self.epoch, "rank": int(os.environ.get("RANK", 0)), "sha256": digest, "counters": counters}
            with Path("seen.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        output = self(x)
        return (output.argmax(1) == y).float().mean().item(), nn.functional.cross_entropy(output, y).item()

    def infer(self, data):
        return self(torch.tensor(data, dtype=torch.float32)).argmax(1)

    def _go_wrong(self, batch_index):
        what, *place = os.environ.get("FAULT", "none:0:0:0").split(":")
        if place != [str(self.epoch), str(batch_index), os.environ.get("RANK", "0")]:
            return None
        number = len(list(Path().glob("fault-*")))
        if number >= int(os.environ.get("FAULTS", 1)):
            return None
        Path(f"fault-{number}").touch()
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "stop":
            os.kill(parent_process().pid if parent_process() else os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
        elif what == "launcher":
            os.kill(parent_process().pid, signal.SIGKILL)
            time.sleep(60)
        elif what == "raise":
            raise RuntimeError("this batch is bad")
        elif what == "nan":
            return lambda: float("nan")
        elif what == "none":
            return lambda: None
        return None


class Released(Net):
    def train(self, batch, batch_index):
        return super().train(*batch, batch_index)

    def validate(self, batch, batch_index):
        return super().validate(*batch, batch_index)


def main():
    model = Released if os.environ.get("SPELLING") == "released" else Net
    return model(NETWORKS[os.environ.get("NETWORK", "plain")](), Points()).start()
