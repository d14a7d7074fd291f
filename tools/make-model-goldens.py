"""Golden outputs and input gradients of whole networks, computed with PyTorch in float64.

Inputs, and StarGAN's weights, are not stored: both sides draw them from the same Philox stream (Sources/Kernels/Tensor/
Random.swift). Outputs are stored at a stride. The detectors' weights are those of tools/fetch-models.

Usage: python tools/make-model-goldens.py MODELS_DIRECTORY OUTPUT.safetensors
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file


def uniform(shape, seed, stream):
    """Philox4x32-10 under (seed, stream), as floats in [0, 1)."""
    count = int(np.prod(shape))
    blocks = (count + 3) // 4
    c = [np.arange(blocks, dtype=np.uint64), np.zeros(blocks, np.uint64), np.full(blocks, stream & 0xFFFFFFFF, np.uint64), np.full(blocks, stream >> 32, np.uint64)]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p0 & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    bits = np.stack(c, 1).reshape(-1)[:count]
    return torch.from_numpy((bits >> np.uint64(8)).astype(np.float64) / 2**24).reshape(shape)


def image(shape, seed):
    return (uniform(shape, seed, 0) * 2 - 1).requires_grad_()


def stargan(x, c, width, blocks, seed):
    """The generator with Kaiming-uniform weights drawn in the order of its layers."""
    draws = iter(range(1000))

    def weight(*shape):
        bound = 1 / np.sqrt(np.prod(shape[1:]))
        return uniform(shape, seed, next(draws)) * 2 * bound - bound

    w = width
    x = torch.cat([x, c[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])], 1)
    x = F.relu(F.instance_norm(F.conv2d(x, weight(w, x.shape[1], 7, 7), padding=3)))
    for i in (1, 2):
        x = F.relu(F.instance_norm(F.conv2d(x, weight(2 * i * w, i * w, 4, 4), stride=2, padding=1)))
    for _ in range(blocks):
        h = F.relu(F.instance_norm(F.conv2d(x, weight(4 * w, 4 * w, 3, 3), padding=1)))
        x = x + F.instance_norm(F.conv2d(h, weight(4 * w, 4 * w, 3, 3), padding=1))
    feature = x
    for i in (4, 2):
        x = F.relu(F.instance_norm(F.conv_transpose2d(x, weight(i * w, i * w // 2, 4, 4), stride=2, padding=1)))
    return torch.tanh(F.conv2d(x, weight(3, w, 7, 7), padding=3)), feature


def retinaface(x, p):
    def conv(x, name, stride=1, padding=0, groups=1, slope=0.1):
        y = F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], stride, padding, 1, groups)
        return y if slope is None else F.leaky_relu(y, slope)

    def block(x, name, stride):
        return conv(conv(x, f"{name}.0", stride, 1, x.shape[1]), f"{name}.3")

    x = ((x + 1) * 127.5)[:, [2, 1, 0]] - torch.tensor([104.0, 117.0, 123.0], dtype=x.dtype)[None, :, None, None]
    x = conv(x, "body.stage1.0.0", 2, 1)
    stages = []
    for stage, strides in enumerate([[1, 2, 1, 2, 1], [2, 1, 1, 1, 1, 1], [2, 1]]):
        for i, stride in enumerate(strides):
            x = block(x, f"body.stage{stage + 1}.{i + 1 if stage == 0 else i}", stride)
        stages.append(x)
    l1, l2, l3 = (conv(s, f"fpn.output{i + 1}.0") for i, s in enumerate(stages))
    l2 = conv(l2 + F.interpolate(l3, size=l2.shape[2:], mode="nearest"), "fpn.merge2.0", 1, 1)
    l1 = conv(l1 + F.interpolate(l2, size=l1.shape[2:], mode="nearest"), "fpn.merge1.0", 1, 1)
    features = []
    for i, level in enumerate((l1, l2, l3)):
        name = f"ssh{i + 1}"
        half = conv(level, f"{name}.conv5X5_1.0", 1, 1)
        seven = conv(half, f"{name}.conv7X7_2.0", 1, 1)
        parts = [conv(level, f"{name}.conv3X3.0", 1, 1, slope=None), conv(half, f"{name}.conv5X5_2.0", 1, 1, slope=None)]
        parts.append(conv(seven, f"{name}.conv7x7_3.0", 1, 1, slope=None))
        features.append(F.relu(torch.cat(parts, 1)))

    def head(name, values):
        parts = [conv(f, f"{name}.{i}.conv1x1", slope=None) for i, f in enumerate(features)]
        return torch.cat([q.permute(0, 2, 3, 1).reshape(x.shape[0], -1, values) for q in parts], 1)

    return head("ClassHead", 2), head("BboxHead", 4), features


def mtcnn(net, x, p):
    def conv(x, i):
        return F.prelu(F.conv2d(x, p[f"{net}.conv{i}.weight"], p[f"{net}.conv{i}.bias"]), p[f"{net}.prelu{i}.weight"])

    def dense(x, name):
        return F.linear(x, p[f"{net}.{name}.weight"], p[f"{net}.{name}.bias"])

    x = x * (127.5 / 128)
    if net == "pnet":
        x = conv(conv(F.max_pool2d(conv(x, 1), 2, 2, ceil_mode=True), 2), 3)
        return [F.conv2d(x, p[f"pnet.conv4_{i}.weight"], p[f"pnet.conv4_{i}.bias"]) for i in (1, 2)]
    x = F.max_pool2d(conv(x, 1), 3, 2, ceil_mode=True)
    x = conv(F.max_pool2d(conv(x, 2), 3, 2, ceil_mode=True), 3)
    last = 4
    if net == "onet":
        x, last = conv(F.max_pool2d(x, 2, 2, ceil_mode=True), 4), 5
    x = dense(x.permute(0, 3, 2, 1).reshape(x.shape[0], -1), f"dense{last}")
    x = F.prelu(x, p[f"{net}.prelu{last}.weight"])
    return [dense(x, f"dense{last + 1}_{i}") for i in (1, 2)]


results = {}


def store(name, value, stride=1):
    results[name] = value.detach().reshape(-1)[::stride].to(torch.float32).contiguous().clone()


def record(name, x, outputs, strides):
    (gradient,) = torch.autograd.grad((next(iter(outputs.values())) ** 2).mean(), x)
    for (key, value), stride in zip(outputs.items(), strides):
        store(f"{name}/{key}", value, stride)
    store(f"{name}/x.grad", gradient, 11)


for name, size, width, blocks, batch in (("stargan-256", 256, 64, 6, 1), ("stargan-small", 36, 8, 2, 3)):
    x = image((batch, 3, size, size), 7)
    c = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0]] * batch, dtype=torch.float64)
    y, feature = stargan(x, c, width, blocks, 11)
    record(name, x, {"y": y, "feature": feature}, (13, 61) if size == 256 else (1, 1))

models = sys.argv[1]
p = {k: v.double() for k, v in load_file(os.path.join(models, "retinaface.safetensors")).items()}
x = image((1, 3, 97, 131), 21)
conf, loc, features = retinaface(x, p)
record("retinaface", x, {"conf": conf, "loc": loc, "feature1": features[0], "feature2": features[1], "feature3": features[2]}, (1, 1, 7, 5, 3))
p = {k: v.double() for k, v in load_file(os.path.join(models, "mtcnn.safetensors")).items()}
for net, shape in (("pnet", (2, 3, 37, 52)), ("rnet", (3, 3, 24, 24)), ("onet", (2, 3, 48, 48))):
    x = image(shape, 31)
    conf, loc = mtcnn(net, x, p)
    record(f"mtcnn-{net}", x, {"conf": conf, "loc": loc}, (1, 1))

save_file(results, sys.argv[2], metadata={"torch": torch.__version__})
