"""dlib's serialised networks and detectors."""

import array
import re

from .floats import floats


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
