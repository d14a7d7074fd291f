"""The formats in which weights are published, read without executing anything: {name: (shape, little-endian float32 bytes)}.

Needs Python 3.8, no more: no NumPy, no PyTorch.
"""

import array
import collections
import json
import os
import pickle
import re
import struct
import sys


def floats(data):
    """An array of little-endian float32."""
    values = array.array("f", data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def packed(values):
    """Little-endian bytes of an array of float32."""
    if sys.byteorder == "big":
        values = array.array("f", values)
        values.byteswap()
    return values.tobytes()


def strided(data, offset, size, stride):
    """The bytes of a strided view of a storage, in order. Not every tensor is contiguous: some were saved transposed."""
    count, is_contiguous = 1, True
    for extent, step in zip(reversed(size), reversed(stride)):
        is_contiguous &= extent == 1 or step == count
        count *= extent
    if is_contiguous:
        return data[4 * offset : 4 * (offset + count)]
    places = [offset]
    for extent, step in zip(size, stride):
        places = [place + i * step for place in places for i in range(extent)]
    return b"".join(data[4 * place : 4 * place + 4] for place in places)


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


class DlibReader:
    """Reads dlib's serialisation: an integer is a byte of its length and sign, then its bytes."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def integer(self):
        control = self.data[self.at]
        end = self.at + 1 + (control & 15)
        value = int.from_bytes(self.data[self.at + 1 : end], "little")
        self.at = end
        return -value if control & 128 else value

    def number(self):
        """A floating-point number: mantissa and exponent."""
        mantissa = self.integer()
        return mantissa * 2.0 ** self.integer()

    def tensor(self):
        """The values of a tensor: a version, four extents, and float32."""
        count = 1
        for extent in [self.integer() for _ in range(5)][1:]:
            count *= extent
        self.at += 4 * count
        return floats(self.data[self.at - 4 * count : self.at])

    def batch_norm(self):
        """The scales and shifts that a batch norm with running statistics amounts to."""
        values = self.tensor()
        for _ in range(2 * 5):  # where in the values scales and shifts are
            self.integer()
        _, _, means, variances = (self.tensor() for _ in range(4))
        for _ in range(2):  # counts of batches
            self.integer()
        *_, epsilon = (self.number() for _ in range(5))  # after learning rates and decays
        count = len(means)
        scales = [values[i] / (variances[i] + epsilon) ** 0.5 for i in range(count)]
        shifts = [values[count + i] - means[i] * scales[i] for i in range(count)]
        return array.array("f", scales + shifts)


def read_dlib(data):
    """The mean colour of a dlib network's input, and its layers in order: convolutions as (filters, height, width, weights
    and biases), affine layers (batch norms are made such) as (scales and shifts), dense ones as (outputs, inputs, weights)."""
    mean, layers = None, []
    # Each layer starts with its name, a string of the length before it.
    names = rb"\x01\x15(input_rgb_image_sized)|\x01\x17(input_rgb_image_pyramid)"
    for found in re.finditer(names + rb"|\x01\x05(con_4)|\x01\x07(affine_|bn_con2)|\x01\x04(fc_2)", data):
        reader = DlibReader(data, found.end())
        kind = found.group()[2:].decode()
        if kind.startswith("input_rgb_image"):
            mean = [reader.number() for _ in range(3)]
        elif kind == "con_4":
            values = reader.tensor()
            filters, height, width = (reader.integer() for _ in range(3))
            layers.append((kind, filters, height, width, values))
        elif kind == "affine_":
            layers.append((kind, reader.tensor()))
        elif kind == "bn_con2":
            layers.append(("affine_", reader.batch_norm()))
        else:
            outputs, inputs = reader.integer(), reader.integer()
            layers.append((kind, outputs, inputs, reader.tensor()))
    return mean, layers


def read_mmod(data):
    """What a dlib detection network's loss says of its boxes: the sides of its window in pixels (width, height), and the
    thresholds of non-maximum suppression (share of the rectangle around both boxes, share of one box)."""
    name = b"\x01\x0aloss_mmod_"
    reader = DlibReader(data, data.index(name) + len(name))
    if reader.integer() != 1:
        raise ValueError("the loss of dlib's network is of an unknown version")
    window = [reader.integer() for _ in range(2)]
    for _ in range(3):  # two weights of the loss, and when it takes a box for found
        reader.number()
    return window, [reader.number() for _ in range(2)]


def read_object_detector(data):
    """dlib's object detector of linear filters on oriented gradients: the thresholds of non-maximum suppression as `read_mmod` gives
    them, and the weights of each filter with its threshold at the end."""
    reader = DlibReader(data)
    # Versions of detector and scanner, and the scanner's features, of which there are none.
    if [reader.integer() for _ in range(4)] != [2, 1, 0, 0]:
        raise ValueError("dlib's object detector is of an unknown version")
    # Pixels a cell, padding, sides of the window; the most levels of the pyramid and their least sides.
    if [reader.integer() for _ in range(7)] != [8, 0, 80, 80, 1000, 64, 64]:
        raise ValueError("dlib's object detector looks at its image pyramid in an unknown way")
    reader.number()  # how it was trained
    reader.integer()  # weights
    suppression = [reader.number() for _ in range(2)]
    filters = []
    for _ in range(reader.integer()):
        rows, columns = (-reader.integer() for _ in range(2))
        filters.append([reader.number() for _ in range(rows * columns)])
    return suppression, filters


def protobuf_fields(data):
    """(field number, value) pairs of a protocol buffer message; values are ints or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            length = varint()
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            width = 8 if tag & 7 == 1 else 4
            yield tag >> 3, data[at : at + width]
            at += width


OnnxNode = collections.namedtuple("OnnxNode", "name operation inputs outputs")


def read_onnx(data):
    """({name: (shape, bytes)}, [OnnxNode]) of an ONNX model (onnx.proto: fields by number)."""
    (graph,) = [value for number, value in protobuf_fields(data) if number == 7]
    tensors, nodes = {}, []
    for number, value in protobuf_fields(graph):
        fields = list(protobuf_fields(value)) if number in (1, 5) else []
        if number == 1:
            inputs, outputs = ([v.decode() for n, v in fields if n == field] for field in (1, 2))
            (name,) = [v.decode() for n, v in fields if n == 3] or [""]
            (operation,) = [v.decode() for n, v in fields if n == 4]
            nodes.append(OnnxNode(name, operation, inputs, outputs))
        elif number == 5:
            dims = []
            for n, v in fields:
                if n == 1:
                    dims += [v] if isinstance(v, int) else list(v)
            (name,) = [v.decode() for n, v in fields if n == 8]
            # Raw bytes, or floats of their own, packed or one by one.
            data = b"".join(v for n, v in fields if n in (4, 9))
            if data:
                tensors[name] = (dims, data)
    return tensors, nodes


class FlatTable:
    """A table of a FlatBuffer. Its fields go by number; one that is not there has its default."""

    def __init__(self, data, at):
        self.data, self.at = data, at
        # A table starts with the way back to its list of offsets, which starts with its length.
        self.offsets = at - struct.unpack_from("<i", data, at)[0]
        (self.length,) = struct.unpack_from("<H", data, self.offsets)

    @classmethod
    def root(cls, data):
        return cls(data, struct.unpack_from("<I", data)[0])

    def place(self, field):
        """Where a field's value is, or None."""
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self.data, self.offsets + entry)[0] if entry < self.length else 0
        return self.at + offset if offset else None

    def number(self, field, kind):
        """A number of struct's kind."""
        at = self.place(field)
        return struct.unpack_from("<" + kind, self.data, at)[0] if at else 0

    def vector(self, field):
        """Where a vector's elements start, and their count."""
        at = self.place(field)
        if not at:
            return 0, 0
        at += struct.unpack_from("<I", self.data, at)[0]
        return at + 4, struct.unpack_from("<I", self.data, at)[0]

    def numbers(self, field, kind):
        at, count = self.vector(field)
        return list(struct.unpack_from(f"<{count}{kind}", self.data, at))

    def bytes(self, field):
        at, count = self.vector(field)
        return self.data[at : at + count]

    def tables(self, field):
        at, count = self.vector(field)
        places = range(at, at + 4 * count, 4)
        return [FlatTable(self.data, place + struct.unpack_from("<I", self.data, place)[0]) for place in places]


def read_tflite(data):
    """The operations of a TensorFlow Lite model of floats in order: [(number of the operation, [(shape, bytes)])], the
    latter its constant inputs, halves made single (tflite's schema.fbs: fields and operations by number)."""
    model = FlatTable.root(data)
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    buffers = [buffer.bytes(0) for buffer in model.tables(4)]
    (graph,) = model.tables(2)
    constants, operations = {}, []
    for index, tensor in enumerate(graph.tables(0)):
        kind, content = tensor.number(1, "b"), buffers[tensor.number(2, "I")]
        if content and kind == 0:
            constants[index] = tensor.numbers(0, "i"), content
        elif content and kind == 1:
            halves = struct.unpack(f"<{len(content) // 2}e", content)
            constants[index] = tensor.numbers(0, "i"), packed(array.array("f", halves))
    for operation in graph.tables(3):
        code, inputs, outputs = codes[operation.number(0, "I")], operation.numbers(1, "i"), operation.numbers(2, "i")
        if code == 6 and inputs[0] in constants:  # a constant that is made single
            constants[outputs[0]] = constants[inputs[0]]
        else:
            operations.append((code, [constants[i] for i in inputs if i in constants]))
    return operations


def reordered(tensor, order):
    """A tensor (shape, bytes) with its axes in another order: axis i is axis order[i] of what it was."""
    shape, data = tensor
    strides = [1]
    for extent in reversed(shape[1:]):
        strides.insert(0, strides[0] * extent)
    size = [shape[axis] for axis in order]
    return size, strided(data, 0, size, [strides[axis] for axis in order])


def write_safetensors(tensors, metadata, path):
    header, end = {"__metadata__": metadata}, 0
    for name, (shape, data) in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    contents = (data for _, (_, data) in sorted(tensors.items()))
    write_whole(b"".join((struct.pack("<Q", len(text)), text, *contents)), path)


def write_whole(data, path):
    """Writes beside the target, then renames."""
    with open(path + ".partial", "wb") as file:
        file.write(data)
    os.replace(path + ".partial", path)
    print(path)
