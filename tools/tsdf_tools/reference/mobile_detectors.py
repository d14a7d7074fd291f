"""The fetched detectors for phones: CenterFace, BlazeFace and MTCNN."""

import torch
import torch.nn.functional as F

from .heads import detector_results, joined


def run_centerface(p, x):
    def conv(x, name, stride=1, padding=0, groups=1):
        return F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], stride, padding, 1, groups)

    # Both sides are brought to multiples of 32; colours are on 0...255.
    sides = [(side + 31) // 32 * 32 for side in x.shape[2:]]
    x = F.interpolate(x, size=sides, mode="bilinear", align_corners=False) * 127.5 + 127.5
    x, levels, block = F.relu(conv(x, "backbone.0", 2, 1)), {}, 1
    # MobileNetV2's stages: channels, blocks, stride; those whose last outputs the neck takes.
    for channels, count, stride in ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)):
        for i in range(count):
            n, y = f"backbone.{block}", x
            if block > 1:
                y = F.relu(conv(y, f"{n}.expand"))
            y = F.relu(conv(y, f"{n}.depthwise", stride if i == 0 else 1, 1, y.shape[1]))
            y = conv(y, f"{n}.project")
            x, block = x + y if i > 0 else y, block + 1
        levels[channels] = x
    y, merged = F.relu(conv(levels[320], "neck.lateral.3")), []
    for level, channels in ((2, 96), (1, 32), (0, 24)):
        n = f"neck.up.{level}"
        y = F.relu(F.conv_transpose2d(y, p[f"{n}.weight"], p[f"{n}.bias"], stride=2))
        y = y + F.relu(conv(levels[channels], f"neck.lateral.{level}"))
        merged.append(y)
    y = F.relu(conv(y, "head.shared", padding=1))
    logits, size, offset = (conv(y, f"head.{part}") for part in ("heatmap", "size", "offset"))
    # Sizes and offsets come rows first.
    location = torch.cat([offset.flip(1), size.flip(1)], 1)
    return detector_results(joined([torch.cat([torch.zeros_like(logits), logits], 1)], 2), joined([location], 4), merged[::-1])


def run_blazeface(p, x):
    def conv(x, name, stride=1, groups=1):
        # TensorFlow's "same" padding: where an odd row is left over, it comes last.
        w = p[f"{name}.weight"]
        before, after = [], []
        for extent, side in zip(x.shape[2:], w.shape[2:]):
            missing = max((-(-extent // stride) - 1) * stride + side - extent, 0)
            before, after = before + [missing // 2], after + [missing - missing // 2]
        x = F.pad(x, (before[1], after[1], before[0], after[0]))
        return F.conv2d(x, w, p[f"{name}.bias"], stride, 0, 1, groups)

    def block(x, name, stride=1, shortcut=True):
        y, layer = x, 0
        while f"{name}.{layer}.depthwise.weight" in p:
            y = F.relu(y) if layer else y
            y = conv(y, f"{name}.{layer}.depthwise", stride if layer == 0 else 1, y.shape[1])
            y, layer = conv(y, f"{name}.{layer}.pointwise"), layer + 1
        if shortcut:
            x = F.max_pool2d(x, 2) if stride == 2 else x
            y = y + F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu(y)

    blocks = len({k.split(".")[1] for k in p if k.startswith("blocks.")})
    # The input's side, and the blocks that halve it; the largest one's last has no shortcut.
    side, halving = {16: (128, (2, 5, 11)), 32: (256, (7, 15, 23, 31)), 15: (192, (2, 5, 8, 11))}[blocks]
    rows, columns = x.shape[2:]
    top, left = (max(0, columns - rows), max(0, rows - columns))
    x = F.pad(x, (left // 2, left - left // 2, top // 2, top - top // 2), value=-1)
    x, stages = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False), []
    x = F.relu(conv(x, "stem", 2))
    for i in range(blocks):
        if i in halving:
            stages.append(x)
        x = block(x, f"blocks.{i}", 2 if i in halving else 1, shortcut=i != 31)
    features = [x, stages[-1]]
    if "pyramid.0.above.weight" in p:
        features = []
        for level in range(3):
            above = F.relu(conv(x, f"pyramid.{level}.above"))
            lateral = F.relu(conv(stages[-1 - level], f"pyramid.{level}.lateral"))
            x = lateral + F.interpolate(above, scale_factor=2, mode="bilinear", align_corners=False)
            for i in range(2 if level < 2 else 1):
                x = block(x, f"pyramid.{level}.blocks.{i}")
            features.append(x)
    features = features[::-1]
    levels = [i for i in range(2) if f"classifier.{i}.weight" in p]
    logits, values = (joined([conv(features[i], f"{head}.{i}") for i in levels], n) for head, n in (("classifier", 1), ("regressor", 16)))
    return detector_results(F.pad(logits, (1, 0)), values[..., :4], features)


def run_mtcnn(p, net, x):
    def conv(x, i):
        return F.prelu(F.conv2d(x, p[f"{net}.conv{i}.weight"], p[f"{net}.conv{i}.bias"]), p[f"{net}.prelu{i}.weight"])

    def dense(x, name):
        return F.linear(x, p[f"{net}.{name}.weight"], p[f"{net}.{name}.bias"])

    x = x * (127.5 / 128)
    if net == "pnet":
        x = conv(conv(F.max_pool2d(conv(x, 1), 2, 2, ceil_mode=True), 2), 3)
        return dict(zip(("conf", "loc"), (F.conv2d(x, p[f"pnet.conv4_{i}.weight"], p[f"pnet.conv4_{i}.bias"]) for i in (1, 2))))
    x = F.max_pool2d(conv(x, 1), 3, 2, ceil_mode=True)
    x = conv(F.max_pool2d(conv(x, 2), 3, 2, ceil_mode=True), 3)
    last = 4
    if net == "onet":
        x, last = conv(F.max_pool2d(x, 2, 2, ceil_mode=True), 4), 5
    x = dense(x.permute(0, 3, 2, 1).reshape(x.shape[0], -1), f"dense{last}")
    x = F.prelu(x, p[f"{net}.prelu{last}.weight"])
    return dict(zip(("conf", "loc"), (dense(x, f"dense{last + 1}_{i}") for i in (1, 2))))
