"""An ONNX network's convolutions, found by the ways that lead from its outputs back to its input.

Needs Python 3.8, no more.
"""

import array

from .floats import floats, packed
from .onnx import read_onnx


class GraphError(Exception):
    """The file is not the network that it is taken for."""


class Graph:
    def __init__(self, data):
        """Of an ONNX file's bytes."""
        try:
            self.weights, nodes = read_onnx(data)
        except (ValueError, IndexError, TypeError) as error:
            raise GraphError("is no ONNX file that can be read") from error
        self.all_nodes = nodes
        self.producers = {output: node for node in nodes for output in node.outputs}
        self.readers = {}
        for node in nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def convolutions(self, name):
        """The convolutions on the way back from a tensor along the first inputs, the last first."""
        if name not in self.producers:
            raise GraphError(f"has no output {name}")
        seen = set()
        while name in self.producers and name not in seen:
            seen.add(name)
            node = self.producers[name]
            if node.operation == "Conv":
                yield node
            name = next((i for i in node.inputs if i in self.producers or i not in self.weights), None)

    def nodes(self, operation):
        """All nodes of an operation, in the file's order."""
        return [node for node in self.all_nodes if node.operation == operation]

    def maker(self, name, operation):
        """The node of an operation that makes a tensor."""
        node = self.producers.get(name)
        if node is None or node.operation != operation:
            raise GraphError(f"has no {operation} that makes {name}")
        return node

    def other_summand(self, node):
        """What the outcome of a node, scaled and normed perhaps, is added to."""
        name = node.outputs[0]
        while len(self.readers.get(name, [])) == 1:
            reader = self.readers[name][0]
            if reader.operation == "Add":
                others = [i for i in reader.inputs if i != name]
                if len(others) == 1:
                    return others[0]
            if reader.operation not in ("Mul", "BatchNormalization"):
                break
            name = reader.outputs[0]
        raise GraphError(f"has nothing that {node.outputs[0]} is added to")

    def channels(self, node):
        """How many channels come out of a convolution; None of none."""
        return node and self.weights.get(node.inputs[1], ([None], b""))[0][0]

    def tensor(self, name):
        """A constant: its shape and its floats. Files that keep equal ones once refer to them by Identity."""
        while name not in self.weights and name in self.producers and self.producers[name].operation == "Identity":
            name = self.producers[name].inputs[0]
        if name not in self.weights:
            raise GraphError(f"has no constant {name}")
        shape, data = self.weights[name]
        count = 1
        for extent in shape:
            count *= extent
        if len(data) != 4 * count:
            raise GraphError(f"has {name} in {len(data)} bytes, which are not {count} of float32")
        return shape, floats(data)

    def convolution(self, node, name):
        """A convolution's tensors NAME.weight and NAME.bias, the batch norm after it folded in."""
        if node is None:
            raise GraphError(f"ends before {name}")
        shape, values = self.tensor(node.inputs[1])
        count = shape[0]
        biases = self.tensor(node.inputs[2])[1] if len(node.inputs) > 2 else array.array("f", [0]) * count
        following = self.readers.get(node.outputs[0], [])
        if len(following) == 1 and following[0].operation == "BatchNormalization":
            gain, shift, mean, variance = (self.tensor(part)[1] for part in following[0].inputs[1:5])
            factors = [g / (v + 1e-5) ** 0.5 for g, v in zip(gain, variance)]
            size = len(values) // count
            values = array.array("f", (value * factors[i // size] for i, value in enumerate(values)))
            biases = array.array("f", ((b - m) * f + s for b, m, f, s in zip(biases, mean, factors, shift)))
        return {f"{name}.weight": (shape, packed(values)), f"{name}.bias": ([count], packed(biases))}
