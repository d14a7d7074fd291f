"""ONNX models (protocol buffers), read field by field."""

import collections


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
