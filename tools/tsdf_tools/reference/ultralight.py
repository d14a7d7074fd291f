"""Ultra-Light."""

import torch
import torch.nn.functional as F

from .heads import detector_results, joined, normed_conv

# Channels out of Ultra-Light's blocks, those that halve the sides, and those after which heads read; RFB has one of its own in the
# place of block 7. Then priors a cell of each level.
ULTRALIGHT_CHANNELS = (16, 32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256)

ULTRALIGHT_HALVING, ULTRALIGHT_READ, ULTRALIGHT_PRIORS = (0, 2, 4, 8, 11), (7, 10, 12), (3, 2, 2, 3)

# The branches of RFB's block: side, channels in eighths, dilation of each convolution.
ULTRALIGHT_BRANCHES = (((1, 8, 1), (3, 16, 1), (3, 16, 2)), ((1, 8, 1), (3, 16, 1), (3, 16, 3)), ((1, 8, 1), (3, 12, 1), (3, 16, 1), (3, 16, 5)))


def declare_ultralight(s, is_rfb, norms=True):
    def conv(name, shape, norm=None):
        s.layer(name, shape, None if norms and norm else shape[0])
        if norms and norm:
            s.norm(norm, (shape[0],), running=True)

    before = 3
    for i, after in enumerate(ULTRALIGHT_CHANNELS):
        n = f"base_net.{i}"
        if i == 0:
            conv(f"{n}.0", (after, before, 3, 3), f"{n}.1")
        elif i == 7 and is_rfb:
            for b, branch in enumerate(ULTRALIGHT_BRANCHES):
                inner = before
                for j, (side, channels, _) in enumerate(branch):
                    conv(f"{n}.branch{b}.{j}.conv", (channels, inner, side, side), f"{n}.branch{b}.{j}.bn")
                    inner = channels
            conv(f"{n}.ConvLinear.conv", (64, 48, 1, 1), f"{n}.ConvLinear.bn")
            conv(f"{n}.shortcut.conv", (64, 64, 1, 1), f"{n}.shortcut.bn")
        else:
            conv(f"{n}.0", (before, 1, 3, 3), f"{n}.1")
            conv(f"{n}.3", (after, before, 1, 1), f"{n}.4")
        before = after
    conv("extras.0.0", (64, 256, 1, 1))
    conv("extras.0.2.0", (64, 1, 3, 3))
    conv("extras.0.2.2", (256, 64, 1, 1))
    for level, (channels, priors) in enumerate(zip((64, 128, 256, 256), ULTRALIGHT_PRIORS)):
        for head, values in (("classification", 2), ("regression", 4)):
            n = f"{head}_headers.{level}"
            if level == 3:
                conv(n, (priors * values, channels, 3, 3))
            else:
                conv(f"{n}.0", (channels, 1, 3, 3))
                conv(f"{n}.2", (priors * values, channels, 1, 1))


def ultralight_outputs(p, x):
    """Logits, regressions and the maps that they are read from, of colours less 127, by 128."""

    def conv(x, name, norm=None, stride=1, padding=0, dilation=1, groups=1):
        return normed_conv(p, x, name, norm, stride, padding, dilation, groups)

    maps = []
    for i in range(len(ULTRALIGHT_CHANNELS)):
        n, stride = f"base_net.{i}", 2 if i in ULTRALIGHT_HALVING else 1
        if f"{n}.shortcut.conv.weight" in p:
            found = []
            for b, branch in enumerate(ULTRALIGHT_BRANCHES):
                y = x
                for j, (side, _, dilation) in enumerate(branch):
                    y = conv(y, f"{n}.branch{b}.{j}.conv", f"{n}.branch{b}.{j}.bn", 1, side // 2 * dilation, dilation)
                    if 0 < j < len(branch) - 1:
                        y = F.relu(y)
                found.append(y)
            y = conv(torch.cat(found, 1), f"{n}.ConvLinear.conv", f"{n}.ConvLinear.bn")
            x = F.relu(y * 1.0 + conv(x, f"{n}.shortcut.conv", f"{n}.shortcut.bn"))
        else:
            x = F.relu(conv(x, f"{n}.0", f"{n}.1", stride, 1, 1, x.shape[1] if i else 1))
            if i:
                x = F.relu(conv(x, f"{n}.3", f"{n}.4"))
        if i in ULTRALIGHT_READ:
            maps.append(x)
    x = F.relu(conv(x, "extras.0.0"))
    x = F.relu(conv(x, "extras.0.2.0", None, 2, 1, 1, 64))
    maps.append(F.relu(conv(x, "extras.0.2.2")))

    def head(y, name, level):
        n = f"{name}_headers.{level}"
        if level == 3:
            return conv(y, n, None, 1, 1)
        return conv(F.relu(conv(y, f"{n}.0", None, 1, 1, 1, y.shape[1])), f"{n}.2")

    heads = [([], 2), ([], 4)]
    for level, y in enumerate(maps):
        heads[0][0].append(head(y, "classification", level))
        heads[1][0].append(head(y, "regression", level))
    return (*(joined(found, values) for found, values in heads), maps)


def run_ultralight(p, x):
    x = F.interpolate(x, size=(240, 320), mode="bilinear", align_corners=False)
    logits, location, maps = ultralight_outputs(p, (x * 127.5 + 0.5) / 128)
    return detector_results(logits, location, maps[:3])


def ultralight_priors():
    """Centre, width and height of the priors in shares of the picture."""
    priors = []
    for level, sizes in enumerate(((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))):
        columns, rows = ((40, 20, 10, 5)[level], (30, 15, 8, 4)[level])
        for row in range(rows):
            for column in range(columns):
                priors += [((column + 0.5) / columns, (row + 0.5) / rows, size / 320, size / 240) for size in sizes]
    return torch.tensor(priors).clamp(0, 1)
