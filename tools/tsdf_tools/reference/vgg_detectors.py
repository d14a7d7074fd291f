"""The detectors on VGG-16: S3FD and DSFD."""

import torch
import torch.nn.functional as F

from .heads import detector_results, joined, preprocessed

VGG = [(0, 64, 0), (2, 64, 0), (5, 128, 1), (7, 128, 0), (10, 256, 1), (12, 256, 0), (14, 256, 0), (17, 512, 1), (19, 512, 0), (21, 512, 0), (24, 512, 1), (26, 512, 0), (28, 512, 0)]

SOURCES = [256, 512, 512, 1024, 512, 256]


def declare_vgg(s):
    channels = 3
    for position, n, _ in VGG:
        s.layer(f"vgg.{position}", (n, channels, 3, 3), bias=n)
        channels = n
    s.layer("vgg.31", (1024, 512, 3, 3), bias=1024)
    s.layer("vgg.33", (1024, 1024, 1, 1), bias=1024)
    for i, (a, b, k) in enumerate(((256, 1024, 1), (512, 256, 3), (128, 512, 1), (256, 128, 3))):
        s.layer(f"extras.{i}", (a, b, k, k), bias=a)


def run_vgg(p, x, dilation):
    def conv(x, name, **arguments):
        return F.relu(F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], **arguments))

    sources = []
    for position, _, pooled in VGG:
        if pooled:
            if position >= 17:
                sources.append(x)
            x = F.max_pool2d(x, 2, ceil_mode=position == 17)
        x = conv(x, f"vgg.{position}", padding=1)
    sources.append(x)
    x = conv(conv(F.max_pool2d(x, 2), "vgg.31", padding=dilation, dilation=dilation), "vgg.33")
    sources.append(x)
    for i in (0, 2):
        x = conv(conv(x, f"extras.{i}"), f"extras.{i + 1}", stride=2, padding=1)
        sources.append(x)
    return sources


def l2norm(x, weight):
    return x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) * weight[None, :, None, None]


def declare_s3fd(s):
    declare_vgg(s)
    for i, (n, scale) in enumerate(zip(SOURCES, (10, 8, 5))):
        s.constant(f"L2Norm{i + 3}_3.weight", (n,), scale)
    for i, n in enumerate(SOURCES):
        s.layer(f"loc.{i}", (4, n, 3, 3), bias=4)
        s.layer(f"conf.{i}", (4 if i == 0 else 2, n, 3, 3), bias=4 if i == 0 else 2)


def run_s3fd(p, x):
    levels = run_vgg(p, preprocessed(x), 6)
    levels[:3] = [l2norm(f, p[f"L2Norm{i + 3}_3.weight"]) for i, f in enumerate(levels[:3])]

    def maps(head):
        return [F.conv2d(f, p[f"{head}.{i}.weight"], p[f"{head}.{i}.bias"], padding=1) for i, f in enumerate(levels)]

    conf = maps("conf")
    conf[0] = torch.cat([conf[0][:, :3].max(1, keepdim=True)[0], conf[0][:, 3:]], 1)
    return detector_results(joined(conf, 2), joined(maps("loc"), 4), levels[:3])


def declare_dsfd(s):
    declare_vgg(s)
    for i, scale in enumerate((10, 8, 5)):
        for kind in ("of", "ef"):
            s.constant(f"L2Norm{kind}{i + 1}.weight", (SOURCES[i],), scale)
    top = SOURCES[::-1]
    s.layer("fpn_topdown.0", (top[0], top[0], 1, 1), bias=top[0])
    for i, (a, b) in enumerate(zip(top, top[1:])):
        s.layer(f"fpn_topdown.{i + 1}", (b, a, 1, 1), bias=b)
        s.layer(f"fpn_latlayer.{i}", (b, b, 1, 1), bias=b)
    for i, n in enumerate(SOURCES):
        third = n // 3
        rest, name = n - 2 * third, f"fpn_fem.{i}"
        for part, a, b in (("branch1", third, n), ("branch2.0", third, n), ("branch2.2", third, third), ("branch3.0", rest, n), ("branch3.2", rest, rest), ("branch3.4", rest, rest)):
            s.layer(f"{name}.{part}", (a, b, 3, 3), bias=a)
        s.layer(f"loc_pal2.{i}", (4, n, 3, 3), bias=4)
        s.layer(f"conf_pal2.{i}", (2, n, 3, 3), bias=2)


def run_dsfd(p, x):
    def conv(x, name, padding=0, dilation=1):
        return F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=padding, dilation=dilation)

    first = run_vgg(p, preprocessed(x), 3)
    merged = [F.relu(conv(first[5], "fpn_topdown.0"))]
    for i in range(5):
        lateral = conv(first[4 - i], f"fpn_latlayer.{i}")
        above = F.relu(conv(merged[-1], f"fpn_topdown.{i + 1}"))
        above = F.interpolate(above, size=lateral.shape[2:], mode="bilinear", align_corners=True)
        merged.append(F.relu(above * lateral))
    second = []
    for i, x in enumerate(merged[::-1]):
        branches = []
        for name, layers in (("branch1", [""]), ("branch2", [".0", ".2"]), ("branch3", [".0", ".2", ".4"])):
            y = x
            for k, layer in enumerate(layers):
                y = conv(F.relu(y) if k else y, f"fpn_fem.{i}.{name}{layer}", 3, 3)
            branches.append(y)
        y = F.relu(torch.cat(branches, 1))
        second.append(l2norm(y, p[f"L2Normef{i + 1}.weight"]) if i < 3 else y)
    conf = [conv(f, f"conf_pal2.{i}", 1) for i, f in enumerate(second)]
    loc = [conv(f, f"loc_pal2.{i}", 1) for i, f in enumerate(second)]
    return detector_results(joined(conf, 2), joined(loc, 4), [l2norm(first[i], p[f"L2Normof{i + 1}.weight"]) for i in range(3)])
