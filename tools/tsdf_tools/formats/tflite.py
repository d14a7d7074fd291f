"""TensorFlow Lite models (FlatBuffers)."""

import array
import struct

from .floats import packed


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
