"""What ours makes of inputs, and how far it is from what it should be."""

import os
import subprocess

import torch
from safetensors.torch import load_file, save_file

from tsdf_tools import project


def forward(model, weights, inputs, folder, *options):
    """What `tsdf forward` makes of inputs."""
    paths = [os.path.join(folder, f) for f in ("input.safetensors", "output.safetensors")]
    save_file({k: v.detach().float().contiguous() for k, v in inputs.items()}, paths[0])
    command = [project.TSDF, "forward", model, "--weights", weights, "--input", paths[0], "--output", paths[1], "--quiet"]
    subprocess.run(command + list(options), check=True)
    return load_file(paths[1])


def relative(a, b):
    return ((a.double() - b).norm() / b.norm()).item()


def compared(name, ours, scores, boxes):
    """Whether our heads say the scores and boxes of another program."""
    conf, passed = ours["conf"].double(), True
    for part, found, expected in (("score", torch.sigmoid(conf[..., 1] - conf[..., 0]), scores), ("loc", ours["loc"], boxes)):
        error = relative(found, expected.double())
        passed &= error < 1e-4
        print(f"{name:26} {part:6} {error:8.1e}{'' if error < 1e-4 else '  FAILED'}", flush=True)
    return passed
