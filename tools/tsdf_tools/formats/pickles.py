"""Tensors in pickles, PyTorch's and NumPy's, read by an unpickler that executes nothing."""

import collections
import pickle
import struct

from .floats import strided


class Reader(pickle.Unpickler):
    """An unpickler that refuses every name that is not on a list, and takes storages for their keys."""

    def __init__(self, file, allowed, default=None):
        super().__init__(file, encoding="utf-8")
        self.allowed, self.default = allowed, default

    def find_class(self, module, name):
        found = self.allowed.get((module, name)) or (self.default(module) if self.default else None)
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return found

    def persistent_load(self, identifier):
        return identifier[2]


TORCH = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda key, offset, size, stride, *_: (key, offset, size, stride),
    ("torch", "FloatStorage"): "FloatStorage",
    ("torch.jit._pickle", "build_intlist"): list,
}


def read_legacy(file):
    """The tensors of a PyTorch file of floats written before 1.6."""
    for _ in range(3):
        Reader(file, TORCH).load()  # magic number, protocol, system
    tensors = Reader(file, TORCH).load()
    storages = {}
    for key in Reader(file, TORCH).load():
        (count,) = struct.unpack("<q", file.read(8))
        storages[key] = file.read(4 * count)
    return {
        name: (list(size), strided(storages[key], offset, size, stride))
        for name, (key, offset, size, stride) in tensors.items()
    }


class Module:
    """A module of a TorchScript program: its attributes, and none of its code."""


def read_torchscript(archive):
    """The tensors of a TorchScript program of floats (a zip archive), by the path of attributes that leads to them."""
    (index,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    folder = index.rpartition("/")[0]
    tensors = {}

    def visit(module, path):
        for name, value in vars(module).items():
            if isinstance(value, Module):
                visit(value, path + [name])
            elif isinstance(value, tuple):
                key, offset, size, stride = value
                data = archive.read(f"{folder}/data/{key}")
                tensors[".".join(path + [name])] = (list(size), strided(data, offset, size, stride))

    with archive.open(index) as file:
        visit(Reader(file, TORCH, lambda module: Module if module.startswith("__torch__.") else None).load(), [])
    return tensors


class Array:
    """What NumPy's pickles rebuild arrays and their types of."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state


NUMPY = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: Array(),
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Array,
}


def read_numpy_pickle(file):
    """The arrays of floats in nested dictionaries that were pickled, by the keys that lead to them."""
    arrays = {}

    def visit(value, path):
        if isinstance(value, dict):
            for key, inner in value.items():
                visit(inner, path + [key])
            return
        _, shape, dtype, is_fortran, data = value.state
        if dtype.arguments[0] != "f4" or dtype.state[1] != "<" or is_fortran:
            raise ValueError(f"{'.'.join(path)} is not of little-endian float32 in C's order")
        arrays[".".join(path)] = (list(shape), data)

    visit(Reader(file, NUMPY).load(), [])
    return arrays
