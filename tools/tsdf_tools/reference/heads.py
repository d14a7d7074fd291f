"""What the detectors share: their input, their outputs, a convolution with its norm."""

import torch
import torch.nn.functional as F


def preprocessed(x):
    means = torch.tensor([104.0, 117.0, 123.0], dtype=x.dtype)[None, :, None, None]
    return ((x + 1) * 127.5)[:, [2, 1, 0]] - means


def joined(maps, values):
    return torch.cat([m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, values) for m in maps], 1)


def detector_results(conf, loc, features):
    return {"conf": conf, "loc": loc, **{f"feature{i + 1}": f for i, f in enumerate(features)}}


def normed_conv(p, x, name, norm=None, stride=1, padding=0, dilation=1, groups=1):
    """A convolution, and the batch norm after it where it has not been folded in."""
    x = F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), stride, padding, dilation, groups)
    if f"{norm}.running_mean" not in p:
        return x
    return F.batch_norm(x, *(p[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))
