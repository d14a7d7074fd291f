"""Small PyTorch checkpoints for the reader's tests: zip and legacy format, strided, shared, half and double tensors, a
dictionary in a dictionary, optimiser state, and one that would run a command.

Usage: python tools/make-checkpoint-goldens.py DIRECTORY
"""

import os
import sys

import torch

target = sys.argv[1]
w = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
state = {
    "G": {"module.a.weight": w.t(), "b": w[1:3], "h": w.half(), "d": w.double(), "n": torch.tensor(5)},
    "optim": {"state": {0: {"step": 3, "exp_avg": w}}, "lr": 1e-3, "flags": [1, None, True]},
}
torch.save(state, os.path.join(target, "zip.pth"))
torch.save(state, os.path.join(target, "legacy.pth"), _use_new_zipfile_serialization=False)


class Command:
    def __reduce__(self):
        return os.system, ("false",)


torch.save({"a": w, "b": Command()}, os.path.join(target, "code.pth"))
