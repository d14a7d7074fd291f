"""YuNet."""

import torch
import torch.nn.functional as F

from .heads import detector_results, joined, normed_conv

YUNET_HEADS = {"cls": 1, "bbox": 4, "obj": 1, "kps": 10}


def declare_yunet(s, is_small=False, norms=True):
    def unit(name, before, after, normed=True):
        s.layer(f"{name}.conv1", (after, before, 1, 1), after)
        s.layer(f"{name}.conv2", (after, 1, 3, 3), after)
        if norms and normed:
            s.norm(f"{name}.bn", (after,), running=True)

    s.layer("backbone.model0.conv1", (16, 3, 3, 3), 16)
    if norms:
        s.norm("backbone.model0.bn1", (16,), running=True)
    unit("backbone.model0.conv2", 16, 16)
    widths = [16, 32 if is_small else 64, 64, 64, 64, 64]
    for i in range(1, 6):
        unit(f"backbone.model{i}.conv1", widths[i - 1], widths[i - 1])
        unit(f"backbone.model{i}.conv2", widths[i - 1], widths[i])
    for level in range(3):
        unit(f"neck.lateral_convs.{level}", 64, 64)
        if not is_small:
            unit(f"bbox_head.multi_level_share_convs.{level}.0", 64, 64)
        for head, values in YUNET_HEADS.items():
            unit(f"bbox_head.multi_level_{head}.{level}", 64, values, normed=False)


def yunet_outputs(p, x):
    """Levels of the pyramid, and each head's maps of them, of colours on 0...255, blue first, sides multiples of 32."""

    def unit(x, name):
        x = normed_conv(p, x, f"{name}.conv1")
        return normed_conv(p, x, f"{name}.conv2", f"{name}.bn", padding=1, groups=x.shape[1])

    x, levels = F.relu(normed_conv(p, x, "backbone.model0.conv1", "backbone.model0.bn1", 2, 1)), []
    x = F.max_pool2d(F.relu(unit(x, "backbone.model0.conv2")), 2)
    for i in range(1, 6):
        x = F.relu(unit(F.relu(unit(x, f"backbone.model{i}.conv1")), f"backbone.model{i}.conv2"))
        if i >= 3:
            levels.append(x)
        if i in (2, 3, 4):
            x = F.max_pool2d(x, 2)
    for i in (2, 1, 0):
        levels[i] = F.relu(unit(levels[i], f"neck.lateral_convs.{i}"))
        if i:
            levels[i - 1] = levels[i - 1] + F.interpolate(levels[i], scale_factor=2.0, mode="nearest")
    shared = levels
    if "bbox_head.multi_level_share_convs.0.0.conv1.weight" in p:
        shared = [F.relu(unit(y, f"bbox_head.multi_level_share_convs.{i}.0")) for i, y in enumerate(levels)]
    return levels, {head: [unit(y, f"bbox_head.multi_level_{head}.{i}") for i, y in enumerate(shared)] for head in YUNET_HEADS}


def run_yunet(p, x):
    bottom, right = (-side % 32 for side in x.shape[2:])
    levels, heads = yunet_outputs(p, F.pad((x * 127.5 + 127.5).flip(1), (0, right, 0, bottom)))
    # A score is the root of two probabilities' product, a margin its logit, kept finite where both are sure.
    cost = (F.softplus(-joined(heads["cls"], 1)) + F.softplus(-joined(heads["obj"], 1))) / 2
    margin = -(cost + torch.log(-torch.expm1(-cost) + 1e-7))
    return detector_results(torch.cat([torch.zeros_like(margin), margin], 2), joined(heads["bbox"], 4), levels)
