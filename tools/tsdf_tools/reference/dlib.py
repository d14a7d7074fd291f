"""dlib's detectors: an image pyramid, each level five sixths of the one before."""

import numpy as np
import torch
import torch.nn.functional as F

# dlib's decision is score > 0, its training drives scores beyond -1 and 1; ours is probability >= 0.7. See DlibDetector.swift.
DLIB_MARGIN = 4, float(np.log(0.7 / 0.3))


def dlib_pyramid(x, has_level, finished=lambda level: level):
    """The levels of an image, as long as there is one of a height and width."""
    levels = [x]
    while True:
        height, width = (5 * extent // 6 for extent in levels[-1].shape[2:])
        if not has_level(height, width):
            return levels
        level = F.interpolate(levels[-1], size=(height, width), mode="bilinear", align_corners=True)
        levels.append(finished(level))


def dlib_tiles(sizes):
    """Where dlib puts the levels of a pyramid in one image: left and top of each, and the image's height and width. A column
    from the top, then, where there is room beside it, from the bottom up along the right border."""
    (height, width), gap, border = sizes[0], 10, 11
    total = sum(h + gap for h, _ in sizes) - 2 * gap
    count, end = 0, 0
    for h, w in sizes:
        if count and w <= width - sizes[count - 1][1] - gap and (end - height) * 2 >= total - height:
            break
        count, end = count + 1, end + h + gap
    places, y = [], border
    for h, _ in sizes[:count]:
        places.append((border, y))
        y += h + gap
    y = border + end - gap
    for h, w in sizes[count:]:
        if y - h < border + height:
            break
        places.append((border + width - w, y - h))
        y -= h + gap
    return places, (end - gap + 2 * border, width + 2 * border)


def run_dlib_cnn(p, x):
    x = ((x + 1) * 127.5 - p["mean"][None, :, None, None]) / 256
    levels = dlib_pyramid(x, lambda h, w: h >= 5 and w >= 1)
    places, (height, width) = dlib_tiles([level.shape[2:] for level in levels])
    x = torch.zeros(*x.shape[:2], height, width, dtype=x.dtype)
    for level, (left, top) in zip(levels, places):
        x[:, :, top : top + level.shape[2], left : left + level.shape[3]] = level
    hidden = []
    for i, (stride, padding) in enumerate([(2, 0)] * 3 + [(1, 2)] * 3 + [(1, 4)]):
        x = F.conv2d(x if i == 0 else F.relu(x), p[f"conv{i + 1}.weight"], p[f"conv{i + 1}.bias"], stride, padding)
        hidden.append(x)
    scale, shift = DLIB_MARGIN
    margins = (x * scale + shift).reshape(x.shape[0], -1)
    features = {f"feature{n + 1}": F.relu(hidden[i]) for n, i in enumerate((1, 2, 5))}
    return {"conf": torch.stack([torch.zeros_like(margins), margins], 2), **features}


def dlib_shrunk(x, height, width):
    """Bytes as dlib shrinks them, in the single precision and the order in which it computes: see DlibBytes.swift. Works on
    NumPy arrays [..., H, W] of whole numbers."""

    def places(extent, count, start=0):
        step = (extent - 1) / max(count - 1, 1)
        place, found = -step + start * step, []
        for _ in range(start, count):
            place += step
            found.append((int(place), place - int(place)))
        return found

    single, (h, w) = np.float32, x.shape[-2:]
    step = (w - 1) / max(width - 1, 1)
    four, lefts, fractions = np.array([(i - 4) * step for i in range(4)], single), [], []
    while len(lefts) < width:
        four = four + single(4 * step)
        if int(four[3]) + 1 >= w:
            break
        lefts += [int(place) for place in four]
        fractions += [place - single(int(place)) for place in four]
    lefts, right = np.array(lefts[:width], int), np.array(fractions[:width], single)
    left, rows = single(1) - right, places(h, height)
    upper = x[..., [row for row, _ in rows], :]
    lower = x[..., [min(row + 1, h - 1) for row, _ in rows], :]
    below = np.array([fraction for _, fraction in rows])[:, None]
    a, b = single(1 - below), single(below)
    out = np.zeros((*x.shape[:-2], height, width))
    sums = (a * left) * single(upper[..., lefts]) + (a * right) * single(upper[..., lefts + 1])
    sums = sums + (b * left) * single(lower[..., lefts])
    out[..., : len(lefts)] = np.trunc(sums + (b * right) * single(lower[..., lefts + 1]))
    for column, (first, fraction) in enumerate(places(w, width, len(lefts)), len(lefts)):
        second = min(first + 1, w - 1)
        lines = [(1 - fraction) * line[..., first] + fraction * line[..., second] for line in (upper, lower)]
        out[..., column] = np.trunc((1 - below[:, 0]) * lines[0] + below[:, 0] * lines[1])
    return out


def oriented_gradients(x):
    """The 31 features of cells of 8 pixels of images in 0...255, as dlib computes them (fhog)."""
    rows, columns = ((extent + 4) // 8 for extent in x.shape[2:])
    x = x[:, :, : 8 * rows, : 8 * columns]
    dx, dy = x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2], x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]
    red, green, blue = (dx**2 + dy**2).detach().split(1, 1)
    # Of equal ones the later colour.
    strongest = torch.where(torch.maximum(red, green) > blue, torch.where(red > green, 0, 1), 2)
    dx, dy = (
        F.pad(d.gather(1, strongest), (5, 8 * columns + 3 - d.shape[3], 5, 8 * rows + 3 - d.shape[2])) for d in (dx, dy)
    )
    digits = [(1, 0), (0.9397, 0.342), (0.766, 0.6428), (0.5, 0.866), (0.1736, 0.9848)]
    directions = torch.tensor(digits + [(-a, b) for a, b in digits[:0:-1]], dtype=x.dtype)
    along = F.conv2d(torch.cat([dx, dy], 1).detach(), directions[:, :, None, None])
    nearness = along.abs()
    nearness[:, 4] += 2e-4  # upright gradients count for the fifth direction
    nearest = nearness.argmax(1, keepdim=True)
    nearest = nearest + 9 * (along.gather(1, nearest) < 0)
    votes = torch.zeros(x.shape[0], 18, *dx.shape[2:], dtype=x.dtype)
    votes = votes.scatter(1, nearest, (dx**2 + dy**2 + 1e-20).sqrt())
    line = 1 - (torch.arange(16, dtype=x.dtype) - 7.5).abs() / 8
    h = F.conv2d(votes, (line[:, None] * line).expand(18, 1, 16, 16), stride=8, groups=18)
    energy = ((h[:, :9] + h[:, 9:]) ** 2).sum(1, keepdim=True)
    limits = 0.2 * (4 * F.avg_pool2d(energy, 2, 1) + 1e-4).sqrt()
    inner, rows, columns = h[:, :, 1:-1, 1:-1], rows - 2, columns - 2
    limits = [limits[:, :, r : r + rows, c : c + columns] for r, c in ((1, 1), (0, 1), (1, 0), (0, 0))]
    signed = [torch.minimum(inner, limit) * 0.1 / limit for limit in limits]
    unsigned = [torch.minimum(inner[:, :9] + inner[:, 9:], limit) * 0.1 / limit for limit in limits]
    return torch.cat([sum(signed), sum(unsigned)] + [2 * 0.2357 * s.sum(1, keepdim=True) for s in signed], 1)


def run_dlib_hog(p, x):
    x = x * 127.5 + 127.5
    bytes = x.detach().float().numpy().round().clip(0, 255)
    last = np.array(x.shape[2:]) - 1

    def seen(level):
        return level + (torch.from_numpy(bytes).to(level) - level).detach()

    def has_level(height, width):
        nonlocal last
        last = np.floor((last - 0.3) * (5 / 6) + 0.5)
        return last.min() + 1 >= 64

    def finished(level):
        nonlocal bytes
        bytes = dlib_shrunk(bytes, *level.shape[2:])
        return seen(level)

    features = [oriented_gradients(level) for level in dlib_pyramid(seen(x), has_level, finished)]
    scores = [F.conv2d(F.pad(f, (4, 5, 4, 5)), p["filters.weight"], p["filters.bias"]).flatten(1) for f in features]
    scale, shift = DLIB_MARGIN
    margins = torch.cat(scores, 1) * scale + shift
    features = {f"feature{i + 1}": f for i, f in enumerate(features[:3])}
    return {"conf": torch.stack([torch.zeros_like(margins), margins], 2), **features}
