"""Outputs, features and input gradients of the networks against PyTorch's float64."""

import collections
import os

import torch
from safetensors.torch import load_file

from tsdf_tools import project
from tsdf_tools.parity.forward import forward, relative
from tsdf_tools.reference.attgan import declare_attgan, run_attgan
from tsdf_tools.reference.dlib import run_dlib_cnn, run_dlib_hog
from tsdf_tools.reference.hisd import OFFICIAL_HISD, declare_hisd, run_hisd
from tsdf_tools.reference.mobile_detectors import (
    run_blazeface,
    run_centerface,
    run_mtcnn,
)
from tsdf_tools.reference.retinaface import declare_retinaface_resnet50, run_retinaface
from tsdf_tools.reference.sources import Source, gradient, image
from tsdf_tools.reference.stargan import (
    declare_attentiongan,
    declare_stargan,
    run_attentiongan,
    run_stargan,
)
from tsdf_tools.reference.ultralight import declare_ultralight, run_ultralight
from tsdf_tools.reference.vgg_detectors import (
    declare_dsfd,
    declare_s3fd,
    run_dsfd,
    run_s3fd,
)
from tsdf_tools.reference.yunet import declare_yunet, run_yunet

GENERATOR = dict(width=64, attributes=5)
# Name: declaration, its shape, how weights are drawn, what computes it, the image's sides, how checkpoints nest it.
MODELS = {
    "stargan": (declare_stargan, dict(GENERATOR, blocks=6, running=True), {}, run_stargan, (256, 256), None),
    "attentiongan": (declare_attentiongan, dict(GENERATOR, blocks=6, running=True), {}, run_attentiongan, (256, 256), None),
    "attgan": (declare_attgan, dict(width=64, attributes=13, layers=5), {}, run_attgan, (256, 256), "G"),
    "hisd": (declare_hisd, OFFICIAL_HISD, dict(kaiming=True), run_hisd, (256, 256), "gen_test"),
    "retinaface": (None, None, None, run_retinaface, (256, 256), None),
    "retinaface-resnet50": (declare_retinaface_resnet50, {}, dict(kaiming=True), run_retinaface, (256, 256), "state_dict"),
    "centerface": (None, None, None, run_centerface, (250, 301), None),
    "blazeface-short": (None, None, None, run_blazeface, (250, 301), None),
    "blazeface-back": (None, None, None, run_blazeface, (250, 301), None),
    "blazeface-full": (None, None, None, run_blazeface, (250, 301), None),
    "yunet": (declare_yunet, {}, dict(kaiming=True), run_yunet, (250, 301), "state_dict"),
    "yunet-small": (declare_yunet, dict(is_small=True), dict(kaiming=True), run_yunet, (250, 301), "state_dict"),
    "ultralight-slim": (declare_ultralight, dict(is_rfb=False), dict(kaiming=True), run_ultralight, (250, 301), None),
    "ultralight-rfb": (declare_ultralight, dict(is_rfb=True), dict(kaiming=True), run_ultralight, (250, 301), None),
    "s3fd": (declare_s3fd, {}, dict(kaiming=True), run_s3fd, (256, 256), "weight"),
    "dsfd": (declare_dsfd, {}, dict(kaiming=True), run_dsfd, (256, 256), "model"),
    "dlib-cnn": (None, None, None, run_dlib_cnn, (120, 160), None),
    "dlib-hog": (None, None, None, run_dlib_hog, (120, 160), None),
    "mtcnn-pnet": (None, None, None, None, (120, 160), None),
    "mtcnn-rnet": (None, None, None, None, (24, 24), None),
    "mtcnn-onet": (None, None, None, None, (48, 48), None),
}
# What tells of its weights which of several networks it is.
LOADED_AS = {"yunet-small": "yunet"}


def check(name, folder):
    declare, shape, options, run, sides, nesting = MODELS[name]
    weights = os.path.join(folder, f"{name}.pth")
    if declare is None:
        # MTCNN's nets share a file.
        file = "mtcnn" if name.startswith("mtcnn-") else name
        weights = os.path.join(project.MODELS, f"{file}.safetensors")
        state = load_file(weights)
    else:
        source = Source(41, varied=True, **options)
        declare(source, **shape)
        state = collections.OrderedDict((k, v.float()) for k, v in source.tensors.items())
        torch.save({nesting: state} if nesting else state, weights)
    inputs = {"x": image((1, 3, *sides), 42).float()}
    if name in ("stargan", "attentiongan", "attgan"):
        inputs["c"] = torch.tensor([[1.0, 0, 1, 0, 0] + [0] * 8])[:, : 13 if name == "attgan" else 5] - (0.5 if name == "attgan" else 0)
    if name == "hisd":
        inputs["reference"] = image((1, 3, *sides), 43).float()

    def compute(dtype):
        p = {k: v.to(dtype) for k, v in state.items()}
        given = {k: v.detach().to(dtype) for k, v in inputs.items()}
        x = given["x"].requires_grad_()
        if name.startswith("mtcnn"):
            results = run_mtcnn(p, name.split("-")[1], x)
        elif name == "hisd":
            results = run(p, x, given["reference"], 2)
        else:
            results = run(p, *given.values())
        results["x.grad"] = gradient(results, x)
        return {k: v.detach() for k, v in results.items()}

    exact, single = compute(torch.float64), compute(torch.float32)
    tag = ["--tag", "2"] if name == "hisd" else []
    ours, passed = forward(LOADED_AS.get(name, name), weights, inputs, folder, "--gradient", *tag), True
    for part, expected in exact.items():
        error, theirs = relative(ours[part], expected), relative(single[part], expected)
        limit = max(1e-2, 3 * theirs) if part == "x.grad" else 1e-3
        passed &= error < limit
        print(f"{name:20} {part:9} {error:8.1e}  PyTorch float32 {theirs:8.1e}{'' if error < limit else '  FAILED'}", flush=True)
    return passed
