"""Tensors as (shape, little-endian float32 bytes), and how they are written."""

import array
import json
import os
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


def reordered(tensor, order):
    """A tensor (shape, bytes) with its axes in another order: axis i is axis order[i] of what it was."""
    shape, data = tensor
    strides = [1]
    for extent in reversed(shape[1:]):
        strides.insert(0, strides[0] * extent)
    size = [shape[axis] for axis in order]
    return size, strided(data, 0, size, [strides[axis] for axis in order])


def write_safetensors(tensors, metadata, path):
    """Writes {name: (shape, bytes)} and a dictionary of strings."""
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
