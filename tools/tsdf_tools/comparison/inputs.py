"""Writes a step's inputs, and its weights as far as they are drawn or fetched.

Usage: python -m tsdf_tools.comparison.inputs NAME FOLDER
"""

import os
import sys

import torch
from safetensors.torch import save_file

from tsdf_tools import project
from tsdf_tools.comparison.steps import CRAFT, FETCHED, HISD, STEPS, networks
from tsdf_tools.reference import attgan, hisd, retinaface, stargan, vgg_detectors
from tsdf_tools.reference.sources import Source


def declarations(name):
    """How the networks of a step are declared: (declaration, its shape) by network."""
    kind, (side, _), _, width = STEPS[name]
    shape = dict(width=width, attributes=5)
    if kind == "train":
        critic = dict(width=32, layers=5, attributes=5, size=side)
        hisd_critic = dict(channels=HISD["extractor"], style=HISD["style"], answers=HISD["answers"], others=[4, 4])
        return {
            "stargan": (stargan.declare_stargan, dict(shape, blocks=4)),
            "stargan-critic": (stargan.declare_stargan_critic, critic),
            "attentiongan": (stargan.declare_attentiongan, dict(shape, blocks=4)),
            "attentiongan-critic": (stargan.declare_stargan_critic, critic),
            "attgan": (attgan.declare_attgan, dict(shape, layers=4)),
            "attgan-critic": (attgan.declare_attgan_critic, dict(critic, hidden=256)),
            "hisd": (hisd.declare_hisd, HISD),
            "hisd-critic": (hisd.declare_hisd_critic, hisd_critic),
        }
    return {
        "stargan": (stargan.declare_stargan, dict(shape, blocks=6)),
        "attentiongan": (stargan.declare_attentiongan, dict(shape, blocks=6)),
        "attgan": (attgan.declare_attgan, dict(shape, layers=5)),
        "hisd": (hisd.declare_hisd, hisd.OFFICIAL_HISD),
        "retinaface-resnet50": (retinaface.declare_retinaface_resnet50, {}),
        "s3fd": (vgg_detectors.declare_s3fd, {}),
        "dsfd": (vgg_detectors.declare_dsfd, {}),
    }


def prepare(name, folder):
    """Writes all that a step needs into a folder."""
    _, size, batch, _ = STEPS[name]
    torch.manual_seed(1)
    inputs = {
        "x": torch.rand(batch, 3, *size) * 2 - 1,
        "c": (torch.rand(batch, 5) > 0.5).float(),
        "start": (torch.rand(1, 3, *size) - 0.5) * 0.1,
        "reference": torch.rand(batch, 3, *size) * 2 - 1,
    }
    save_file(inputs, os.path.join(folder, "input.safetensors"))
    for network in networks(name):
        declare, shape = declarations(name)[network]
        source = Source(1, kaiming=network.split("-")[0] not in ("stargan", "attentiongan", "attgan"), varied=True)
        declare(source, **shape)
        tensors = {k: v.float().contiguous() for k, v in source.tensors.items()}
        save_file(tensors, os.path.join(folder, f"{network}.safetensors"))
    for network in CRAFT.get(name, ([], []))[1]:
        if network in FETCHED:
            file = f"{network}.safetensors"
            os.symlink(os.path.join(project.MODELS, file), os.path.join(folder, file))


if __name__ == "__main__":
    prepare(*sys.argv[1:])
