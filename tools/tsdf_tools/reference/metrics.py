"""The networks of the metrics: Inception v3 of the Frechet inception distance, LPIPS with AlexNet, dlib's face recognition."""

import torch
import torch.nn.functional as F


def inception_layers():
    """Name: (out, in, height, width), in the order in which Swift draws them."""
    layers = {}

    def add(name, a, b, h=1, w=1):
        layers[name] = (b, a, h, w)

    add("Conv2d_1a_3x3", 3, 32, 3, 3)
    add("Conv2d_2a_3x3", 32, 32, 3, 3)
    add("Conv2d_2b_3x3", 32, 64, 3, 3)
    add("Conv2d_3b_1x1", 64, 80)
    add("Conv2d_4a_3x3", 80, 192, 3, 3)
    for name, a, pooled in (("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)):
        for part, b, c, k in (("branch1x1", a, 64, 1), ("branch5x5_1", a, 48, 1), ("branch5x5_2", 48, 64, 5), ("branch3x3dbl_1", a, 64, 1), ("branch3x3dbl_2", 64, 96, 3), ("branch3x3dbl_3", 96, 96, 3), ("branch_pool", a, pooled, 1)):
            add(f"{name}.{part}", b, c, k, k)
    for part, b, c, k in (("branch3x3", 288, 384, 3), ("branch3x3dbl_1", 288, 64, 1), ("branch3x3dbl_2", 64, 96, 3), ("branch3x3dbl_3", 96, 96, 3)):
        add(f"Mixed_6a.{part}", b, c, k, k)
    for name, m in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        for part, b, c, h, w in (("branch1x1", 768, 192, 1, 1), ("branch7x7_1", 768, m, 1, 1), ("branch7x7_2", m, m, 1, 7), ("branch7x7_3", m, 192, 7, 1), ("branch7x7dbl_1", 768, m, 1, 1), ("branch7x7dbl_2", m, m, 7, 1), ("branch7x7dbl_3", m, m, 1, 7), ("branch7x7dbl_4", m, m, 7, 1), ("branch7x7dbl_5", m, 192, 1, 7), ("branch_pool", 768, 192, 1, 1)):
            add(f"{name}.{part}", b, c, h, w)
    for part, b, c, h, w in (("branch3x3_1", 768, 192, 1, 1), ("branch3x3_2", 192, 320, 3, 3), ("branch7x7x3_1", 768, 192, 1, 1), ("branch7x7x3_2", 192, 192, 1, 7), ("branch7x7x3_3", 192, 192, 7, 1), ("branch7x7x3_4", 192, 192, 3, 3)):
        add(f"Mixed_7a.{part}", b, c, h, w)
    for name, a in (("Mixed_7b", 1280), ("Mixed_7c", 2048)):
        for part, b, c, h, w in (("branch1x1", a, 320, 1, 1), ("branch3x3_1", a, 384, 1, 1), ("branch3x3_2a", 384, 384, 1, 3), ("branch3x3_2b", 384, 384, 3, 1), ("branch3x3dbl_1", a, 448, 1, 1), ("branch3x3dbl_2", 448, 384, 3, 3), ("branch3x3dbl_3a", 384, 384, 1, 3), ("branch3x3dbl_3b", 384, 384, 3, 1), ("branch_pool", a, 192, 1, 1)):
            add(f"{name}.{part}", b, c, h, w)
    return layers


def declare_inception(s):
    for name, shape in inception_layers().items():
        s.layer(f"{name}.conv", shape)
        s.norm(f"{name}.bn", (shape[0],), running=True)


def run_inception(p, x):
    def conv(x, name, stride=1, padded=True):
        w = p[f"{name}.conv.weight"]
        padding = (w.shape[2] // 2, w.shape[3] // 2) if padded else 0
        q = [p[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(F.conv2d(x, w, stride=stride, padding=padding), *q, eps=1e-3))

    def chain(x, block, names):
        for name in names:
            x = conv(x, f"{block}.{name}")
        return x

    def mean(x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
    x = conv(conv(x, "Conv2d_1a_3x3", 2, False), "Conv2d_2a_3x3", padded=False)
    x = F.max_pool2d(conv(x, "Conv2d_2b_3x3"), 3, 2)
    x = F.max_pool2d(conv(conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3", padded=False), 3, 2)
    for n in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        branches = [["branch1x1"], ["branch5x5_1", "branch5x5_2"], [f"branch3x3dbl_{i}" for i in (1, 2, 3)]]
        x = torch.cat([chain(x, n, b) for b in branches] + [chain(mean(x), n, ["branch_pool"])], 1)
    n = "Mixed_6a"
    x = torch.cat([conv(x, f"{n}.branch3x3", 2, False), conv(chain(x, n, ["branch3x3dbl_1", "branch3x3dbl_2"]), f"{n}.branch3x3dbl_3", 2, False), F.max_pool2d(x, 3, 2)], 1)
    for n in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        branches = [["branch1x1"], [f"branch7x7_{i}" for i in (1, 2, 3)], [f"branch7x7dbl_{i}" for i in range(1, 6)]]
        x = torch.cat([chain(x, n, b) for b in branches] + [chain(mean(x), n, ["branch_pool"])], 1)
    n = "Mixed_7a"
    x = torch.cat([conv(conv(x, f"{n}.branch3x3_1"), f"{n}.branch3x3_2", 2, False), conv(chain(x, n, [f"branch7x7x3_{i}" for i in (1, 2, 3)]), f"{n}.branch7x7x3_4", 2, False), F.max_pool2d(x, 3, 2)], 1)
    for n in ("Mixed_7b", "Mixed_7c"):
        short, long = conv(x, f"{n}.branch3x3_1"), chain(x, n, ["branch3x3dbl_1", "branch3x3dbl_2"])
        pooled = F.max_pool2d(x, 3, 1, 1) if n == "Mixed_7c" else mean(x)
        x = torch.cat([conv(x, f"{n}.branch1x1"), conv(short, f"{n}.branch3x3_2a"), conv(short, f"{n}.branch3x3_2b"), conv(long, f"{n}.branch3x3dbl_3a"), conv(long, f"{n}.branch3x3dbl_3b"), conv(pooled, f"{n}.branch_pool")], 1)
    return x.mean((2, 3))


def run_lpips(p, a, b):
    shift = torch.tensor([-0.030, -0.088, -0.188], dtype=a.dtype)[None, :, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450], dtype=a.dtype)[None, :, None, None]

    def features(x):
        x, found = (x - shift) / scale, []
        for position, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
            if position in (3, 6):
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(F.conv2d(x, p[f"features.{position}.weight"], p[f"features.{position}.bias"], stride, padding))
            found.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    pairs = enumerate(zip(features(a), features(b)))
    return sum(F.conv2d((u - v) ** 2, p[f"lin{i}.model.1.weight"]).mean((1, 2, 3)) for i, (u, v) in pairs)


def run_identity(p, x):
    def conv(x, name, **arguments):
        return F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], **arguments)

    x = F.interpolate(x, size=(150, 150), mode="bilinear", align_corners=False)
    x = ((x + 1) * 127.5 - p["mean"][None, :, None, None]) / 256
    x = F.max_pool2d(F.relu(conv(x, "conv1", stride=2)), 3, 2)
    for block in range(14):
        name, down = f"blocks.{block}", block in (3, 7, 10, 13)
        y = F.relu(conv(x, f"{name}.conv1", stride=2) if down else conv(x, f"{name}.conv1", padding=1))
        y = conv(y, f"{name}.conv2", padding=1)
        x = F.avg_pool2d(x, 2) if down else x
        # The smaller of the two is taken for zero beyond its channels, rows and columns.
        extents = [max(a, b) for a, b in zip(x.shape[1:], y.shape[1:])]
        x, y = (F.pad(z, [n for e, m in zip(extents[::-1], z.shape[:0:-1]) for n in (0, e - m)]) for z in (x, y))
        x = F.relu(x + y)
    return F.linear(x.mean((2, 3)), p["fc.weight"])
