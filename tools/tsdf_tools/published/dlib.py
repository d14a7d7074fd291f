"""dlib's networks and its detector of filters."""

import array
import base64
import re

from ..formats.dlib import read_dlib, read_mmod, read_object_detector
from ..formats.dlib_compression import decompressed
from ..formats.floats import packed
from ..project import fail
from ..pypi import fetch_source

FACE_RECOGNITION_MODELS = "face-recognition-models==0.3.0"


def folded(convolution, affine):
    """A dlib convolution's weight and bias (as `read_dlib` gives them), the affine layer after it folded into them:
    (w * x + b) * scale + shift = (w * scale) * x + (b * scale + shift)."""
    _, filters, height, width, values = convolution
    scales, shifts = affine[1][:filters], affine[1][filters:]
    biases, size = values[-filters:], len(values) // filters - 1
    weights = array.array("f", (values[i] * scales[i // size] for i in range(filters * size)))
    weight = [filters, size // (height * width), height, width], packed(weights)
    return weight, ([filters], packed(array.array("f", (b * s + t for b, s, t in zip(biases, scales, shifts)))))


def vector(values):
    return [len(values)], packed(array.array("f", values))


def face_recognition_model(archive, name):
    """A file of dlib's trained networks."""
    return archive.extractfile(f"face_recognition_models-0.3.0/face_recognition_models/models/{name}.dat").read()


def identity():
    archive = fetch_source(FACE_RECOGNITION_MODELS)
    mean, layers = read_dlib(face_recognition_model(archive, "dlib_face_recognition_resnet_model_v1"))
    names = ["conv1"] + [f"blocks.{i // 2}.conv{1 + i % 2}" for i in range(28)]
    tensors = {"mean": vector(mean)}
    (kind, outputs, inputs, values), layers = layers[-1], layers[:-1]
    if (kind, len(layers)) != ("fc_2", 2 * len(names)):
        fail("the layers of dlib's network are not the expected ones")
    rows = array.array("f")
    for o in range(outputs):
        rows.extend(values[o::outputs])
    tensors["fc.weight"] = [outputs, inputs], packed(rows)
    for name, convolution, affine in zip(names, layers[::2], layers[1::2]):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = folded(convolution, affine)
    return tensors


def dlib_cnn():
    data = face_recognition_model(fetch_source(FACE_RECOGNITION_MODELS), "mmod_human_face_detector")
    mean, layers = read_dlib(data)
    window, suppression = read_mmod(data)
    if [layer[0] for layer in layers] != ["con_4", "affine_"] * 6 + ["con_4"]:
        fail("the layers of dlib's network are not the expected ones")
    # Nothing comes after the last convolution, which has one filter.
    layers.append(("affine_", array.array("f", [1, 0])))
    tensors = {"mean": vector(mean), "window": vector(window), "suppression": vector(suppression)}
    for i, (convolution, affine) in enumerate(zip(layers[::2], layers[1::2])):
        tensors[f"conv{i + 1}.weight"], tensors[f"conv{i + 1}.bias"] = folded(convolution, affine)
    return tensors


def dlib_hog():
    header = "dlib-19.24.9/dlib/image_processing/frontal_face_detector.h"
    text = fetch_source("dlib==19.24.9").extractfile(header).read().decode()
    lines = re.findall(r'sout << "([A-Za-z0-9+/=]+)";', text)
    suppression, filters = read_object_detector(decompressed(base64.b64decode("".join(lines))))
    if {len(values) for values in filters} != {31 * 10 * 10 + 1}:
        fail("the filters of dlib's face detector are not the expected ones")
    weights = array.array("f", (value for values in filters for value in values[:-1]))
    return {
        "suppression": vector(suppression),
        "filters.weight": ([len(filters), 31, 10, 10], packed(weights)),
        "filters.bias": vector([-values[-1] for values in filters]),
    }
