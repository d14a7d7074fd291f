"""RetinaFace on MobileNet and on ResNet-50."""

import torch
import torch.nn.functional as F

from .heads import detector_results, joined, preprocessed


def declare_retinaface_resnet50(s):
    def add(name, norm, shape):
        s.layer(name, shape)
        s.norm(norm, (shape[0],), running=True)

    add("body.conv1", "body.bn1", (64, 3, 7, 7))
    channels = 64
    for layer, count in enumerate((3, 4, 6, 3)):
        middle = 64 << layer
        for i in range(count):
            n = f"body.layer{layer + 1}.{i}"
            add(f"{n}.conv1", f"{n}.bn1", (middle, channels, 1, 1))
            add(f"{n}.conv2", f"{n}.bn2", (middle, middle, 3, 3))
            add(f"{n}.conv3", f"{n}.bn3", (4 * middle, middle, 1, 1))
            if i == 0:
                add(f"{n}.downsample.0", f"{n}.downsample.1", (4 * middle, channels, 1, 1))
            channels = 4 * middle
    for i, n in enumerate((512, 1024, 2048)):
        add(f"fpn.output{i + 1}.0", f"fpn.output{i + 1}.1", (256, n, 1, 1))
    for i in (1, 2):
        add(f"fpn.merge{i}.0", f"fpn.merge{i}.1", (256, 256, 3, 3))
    for i in (1, 2, 3):
        parts = (("conv3X3", 128, 256), ("conv5X5_1", 64, 256), ("conv5X5_2", 64, 64), ("conv7X7_2", 64, 64), ("conv7x7_3", 64, 64))
        for part, a, b in parts:
            add(f"ssh{i}.{part}.0", f"ssh{i}.{part}.1", (a, b, 3, 3))
    for head, outputs in (("ClassHead", 4), ("BboxHead", 8), ("LandmarkHead", 20)):
        for i in range(3):
            s.layer(f"{head}.{i}.conv1x1", (outputs, 256, 1, 1), bias=outputs)


def run_retinaface(p, x):
    isResNet = "body.layer1.0.conv1.weight" in p
    slope = 0.1 if p["fpn.output1.0.weight"].shape[0] <= 64 else 0.0

    def conv(x, name, norm=None, stride=1, padding=0, groups=1, slope=None):
        y = F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), stride, padding, 1, groups)
        if norm is not None and f"{norm}.running_mean" in p:
            y = F.batch_norm(y, *[p[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")])
        return y if slope is None else F.leaky_relu(y, slope)

    def sequence(x, name, stride=1, padding=0, groups=1, slope=None, at=0):
        return conv(x, f"{name}.{at}", f"{name}.{at + 1}", stride, padding, groups, slope)

    x = preprocessed(x)
    stages = []
    if isResNet:
        x = F.max_pool2d(conv(x, "body.conv1", "body.bn1", 2, 3, slope=0.0), 3, 2, 1)
        for layer, count in enumerate((3, 4, 6, 3)):
            for i in range(count):
                n, stride = f"body.layer{layer + 1}.{i}", 2 if layer > 0 and i == 0 else 1
                y = conv(x, f"{n}.conv1", f"{n}.bn1", slope=0.0)
                y = conv(y, f"{n}.conv2", f"{n}.bn2", stride, 1, slope=0.0)
                y = conv(y, f"{n}.conv3", f"{n}.bn3")
                shortcut = sequence(x, f"{n}.downsample", stride) if i == 0 else x
                x = F.relu(y + shortcut)
            stages.append(x)
        stages = stages[1:]
    else:
        x = sequence(x, "body.stage1.0", 2, 1, slope=0.1)
        for stage, strides in enumerate([[1, 2, 1, 2, 1], [2, 1, 1, 1, 1, 1], [2, 1]]):
            for i, stride in enumerate(strides):
                n = f"body.stage{stage + 1}.{i + 1 if stage == 0 else i}"
                x = sequence(sequence(x, n, stride, 1, x.shape[1], 0.1), n, slope=0.1, at=3)
            stages.append(x)
    l1, l2, l3 = (sequence(s, f"fpn.output{i + 1}", slope=slope) for i, s in enumerate(stages))
    l2 = sequence(l2 + F.interpolate(l3, size=l2.shape[2:], mode="nearest"), "fpn.merge2", 1, 1, slope=slope)
    l1 = sequence(l1 + F.interpolate(l2, size=l1.shape[2:], mode="nearest"), "fpn.merge1", 1, 1, slope=slope)
    features = []
    for i, level in enumerate((l1, l2, l3)):
        n = f"ssh{i + 1}"
        five = sequence(level, f"{n}.conv5X5_1", 1, 1, slope=slope)
        seven = sequence(five, f"{n}.conv7X7_2", 1, 1, slope=slope)
        parts = [sequence(level, f"{n}.conv3X3", 1, 1), sequence(five, f"{n}.conv5X5_2", 1, 1), sequence(seven, f"{n}.conv7x7_3", 1, 1)]
        features.append(F.relu(torch.cat(parts, 1)))

    def head(name, values):
        return joined([conv(f, f"{name}.{i}.conv1x1") for i, f in enumerate(features)], values)

    return detector_results(head("ClassHead", 2), head("BboxHead", 4), features)
