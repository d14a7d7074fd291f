"""Golden outputs and input gradients of whole networks, computed with PyTorch in float64 (tools/tsdf_tools/reference).

Inputs, and the larger networks' weights, are not stored: both sides draw them from the same Philox streams. Outputs are
stored at a stride. The weights of RetinaFace, MTCNN, CenterFace, BlazeFace, dlib's detectors, LPIPS and the identity network are
those of tools/fetch-models. The small generators are written as PyTorch writes their official checkpoints, to be loaded as such.

Usage: python tools/make-model-goldens.py MODELS_DIRECTORY GOLDENS_DIRECTORY
"""

import collections
import os
import sys

import torch
from safetensors.torch import load_file, save_file

from tsdf_tools.reference.attgan import declare_attgan, run_attgan
from tsdf_tools.reference.dlib import run_dlib_cnn, run_dlib_hog
from tsdf_tools.reference.hisd import declare_hisd, run_hisd
from tsdf_tools.reference.metrics import (
    declare_inception,
    run_identity,
    run_inception,
    run_lpips,
)
from tsdf_tools.reference.mobile_detectors import (
    run_blazeface,
    run_centerface,
    run_mtcnn,
)
from tsdf_tools.reference.retinaface import run_retinaface
from tsdf_tools.reference.sources import Source, gradient, image, uniform
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

models, goldens = sys.argv[1:3]
results = {}


def store(name, value, stride=1):
    results[name] = value.detach().reshape(-1)[::stride].to(torch.float32).contiguous().clone()


def record(name, x, outputs, strides):
    for (key, value), stride in zip(outputs.items(), strides):
        store(f"{name}/{key}", value, stride)
    store(f"{name}/x.grad", gradient(outputs, x), 11)


def condition(batch, count=5):
    return torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0][:count]] * batch, dtype=torch.float64)


for name, size, width, blocks, batch in (("stargan-256", 256, 64, 6, 1), ("stargan-small", 36, 8, 2, 3)):
    s = Source(11)
    declare_stargan(s, width=width, attributes=5, blocks=blocks)
    x = image((batch, 3, size, size), 7)
    record(name, x, run_stargan(s.tensors, x, condition(batch)), (13, 61) if size == 256 else (1, 1))

p = {k: v.double() for k, v in load_file(os.path.join(models, "retinaface.safetensors")).items()}
x = image((1, 3, 97, 131), 21)
record("retinaface", x, run_retinaface(p, x), (1, 1, 7, 5, 3))
p = {k: v.double() for k, v in load_file(os.path.join(models, "mtcnn.safetensors")).items()}
for net, shape in (("pnet", (2, 3, 37, 52)), ("rnet", (3, 3, 24, 24)), ("onet", (2, 3, 48, 48))):
    x = image(shape, 31)
    record(f"mtcnn-{net}", x, run_mtcnn(p, net, x), (1, 1))

p = {k: v.double() for k, v in load_file(os.path.join(models, "centerface.safetensors")).items()}
x = image((2, 3, 57, 75), 33)
record("centerface", x, run_centerface(p, x), (1, 1, 7, 5, 3))

for name in ("blazeface-short", "blazeface-back", "blazeface-full"):
    p = {k: v.double() for k, v in load_file(os.path.join(models, f"{name}.safetensors")).items()}
    x = image((1, 3, 150, 203), 35)
    record(name, x, run_blazeface(p, x), (1, 3, 31, 17, 7))

for name, is_small in (("yunet", False), ("yunet-small", True)):
    s = Source(13, kaiming=True)
    declare_yunet(s, is_small, norms=False)
    x = image((2, 3, 97, 131), 37)
    record(name, x, run_yunet(s.tensors, x), (1, 3, 31, 17, 7))

for name in ("slim", "rfb"):
    s = Source(13, kaiming=True)
    declare_ultralight(s, name == "rfb", norms=False)
    x = image((2, 3, 97, 131), 39)
    record(f"ultralight-{name}", x, run_ultralight(s.tensors, x), (7, 13, 37, 19, 7))

for name, declare, run in (("s3fd", declare_s3fd, run_s3fd), ("dsfd", declare_dsfd, run_dsfd)):
    s = Source(13, kaiming=True)
    declare(s)
    x = image((1, 3, 68, 92), 23)
    record(name, x, run(s.tensors, x), (1, 1, 31, 17, 7))

for name, run, strides in (("dlib-cnn", run_dlib_cnn, (1, 37, 13, 7)), ("dlib-hog", run_dlib_hog, (1, 7, 5, 3))):
    p = {k: v.double() for k, v in load_file(os.path.join(models, f"{name}.safetensors")).items()}
    x = image((2, 3, 97, 131), 51)
    record(name, x, run(p, x), strides)

# The learned metrics, with their published weights.
p = {k: v.double() for k, v in load_file(os.path.join(models, "lpips.safetensors")).items()}
x = image((2, 3, 64, 71), 41)
record("lpips", x, {"distance": run_lpips(p, x, image((2, 3, 64, 71), 42).detach())}, (1,))
p = {k: v.double() for k, v in load_file(os.path.join(models, "identity.safetensors")).items()}
x = image((2, 3, 97, 83), 43)
record("identity", x, {"embedding": run_identity(p, x)}, (1,))
p = {k: v.double() for k, v in load_file(os.path.join(models, "inception.safetensors")).items()}
with torch.no_grad():
    store("inception-published/features", run_inception(p, image((1, 3, 75, 61), 44)), 3)

# Inception's features, and the Frechet distance of two sets, by the matrix square root.
s = Source(19, kaiming=True)
declare_inception(s)
with torch.no_grad():
    store("inception/features", run_inception(s.tensors, image((2, 3, 75, 61), 29)), 3)
a, b = uniform((7, 5), 30, 0), uniform((9, 5), 30, 1) * 1.5 + 0.25
eigenvalues = torch.linalg.eigvals(torch.cov(a.T) @ torch.cov(b.T)).real.clamp(min=0)
distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * eigenvalues.sqrt().sum()
store("frechet", distance.reshape(1))

# Small generators in official checkpoints: nested as their authors nest them, float32.
SMALL = {
    "attentiongan": (declare_attentiongan, dict(width=4, attributes=2, blocks=1, running=True), {}),
    "attgan": (declare_attgan, dict(width=4, attributes=2, layers=3), {}),
    "hisd": (declare_hisd, dict(encoder=[4, 6, 8], translator=[5, 5, 6], extractor=[4, 5, 6], mapper=[6, 6, 6], style=7, noise=3, answers=[2, 3]), dict(kaiming=True)),
}
for name, (declare, shape, options) in SMALL.items():
    s = Source(17, varied=True, **options)
    declare(s, **shape)
    state = collections.OrderedDict((k, v.float()) for k, v in s.tensors.items())
    p = {k: v.double() for k, v in state.items()}
    x = image((2, 3, 24, 32), 27)
    if name == "hisd":
        outputs = run_hisd(p, x, image((2, 3, 24, 32), 28).detach(), 1)
        spoilt = collections.OrderedDict((k, v * 0) for k, v in state.items())
        checkpoint = {"gen": spoilt, "gen_test": state}
    elif name == "attgan":
        outputs = run_attgan(p, x, condition(2, 2) - 0.5)
        state.update({k.replace("running_mean", "num_batches_tracked"): torch.tensor(3) for k in list(state) if k.endswith("running_mean")})
        checkpoint = {"G": state}
    else:
        outputs = run_attentiongan(p, x, condition(2, 2))
        checkpoint = state
    record(name, x, outputs, (1, 1))
    torch.save(checkpoint, os.path.join(goldens, "checkpoints", f"{name}.pth"))

files = collections.defaultdict(dict)
for name, value in results.items():
    files["dlib" if name.startswith("dlib-") else "models"][name] = value
for file, values in files.items():
    save_file(values, os.path.join(goldens, f"{file}.safetensors"), metadata={"torch": torch.__version__})
