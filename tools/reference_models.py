"""The networks in PyTorch, as functions of official parameter names: what Sources/Networks is checked against.

`declare_MODEL` lists the parameters in the order in which Swift draws fresh ones, `run_MODEL` computes
outputs and features as `tsdf forward` writes them.
"""

import numpy as np
import torch
import torch.nn.functional as F


# Random numbers: Philox4x32-10 under (seed, stream), as Sources/Kernels/Tensor/Random.swift draws them.


def uniform(shape, seed, stream):
    """Floats in [0, 1)."""
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


class Source:
    """Fresh parameters, as Swift's ParameterSource draws them; norms get values of their own when `varied`."""

    def __init__(self, seed, kaiming=False, varied=False):
        self.seed, self.kaiming, self.varied = seed, kaiming, varied
        self.draws = 0
        self.tensors = {}

    def draw(self, shape, bound):
        self.draws += 1
        return uniform(shape, self.seed, self.draws - 1) * 2 * bound - bound

    def layer(self, name, shape, bias=None):
        fan = float(np.prod(shape[1:]))
        self.tensors[f"{name}.weight"] = self.draw(shape, np.sqrt(6 / fan) if self.kaiming else np.sqrt(1 / fan))
        if bias is not None:
            self.tensors[f"{name}.bias"] = torch.zeros(bias, dtype=torch.float64) if self.kaiming else self.draw((bias,), np.sqrt(1 / fan))

    def constant(self, name, shape, value):
        self.tensors[name] = torch.full(shape, float(value), dtype=torch.float64)
        if self.varied:
            self.tensors[name] += self.draw(shape, 0.3)

    def norm(self, name, shape, running=False):
        self.constant(f"{name}.weight", shape, 1)
        self.constant(f"{name}.bias", shape, 0)
        if running:
            self.constant(f"{name}.running_mean", shape, 0)
            self.constant(f"{name}.running_var", shape, 1)


# Generators.


def declare_stargan(s, width, attributes, blocks, outputs=3, running=False):
    w = width

    def add(position, shape, norm, channels):
        s.layer(f"main.{position}", shape)
        s.norm(f"main.{norm}", (channels,), running)

    add("0", (w, 3 + attributes, 7, 7), "1", w)
    add("3", (2 * w, w, 4, 4), "4", 2 * w)
    add("6", (4 * w, 2 * w, 4, 4), "7", 4 * w)
    for b in range(blocks):
        for conv, norm in ((0, 1), (3, 4)):
            add(f"{9 + b}.main.{conv}", (4 * w, 4 * w, 3, 3), f"{9 + b}.main.{norm}", 4 * w)
    up = 9 + blocks
    add(str(up), (4 * w, 2 * w, 4, 4), str(up + 1), 2 * w)
    add(str(up + 3), (2 * w, w, 4, 4), str(up + 4), w)
    s.layer(f"main.{up + 6}", (outputs, w, 7, 7))


def run_stargan(p, x, c):
    y, feature = stargan_backbone(p, x, c)
    return {"y": torch.tanh(y), "feature": feature}


def stargan_backbone(p, x, c):
    def norm(x, name):
        return F.instance_norm(x, weight=p[f"{name}.weight"], bias=p[f"{name}.bias"])

    blocks = len([k for k in p if k.endswith(".main.0.weight")])
    x = torch.cat([x, c[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])], 1)
    x = F.relu(norm(F.conv2d(x, p["main.0.weight"], padding=3), "main.1"))
    for i in (3, 6):
        x = F.relu(norm(F.conv2d(x, p[f"main.{i}.weight"], stride=2, padding=1), f"main.{i + 1}"))
    for b in range(blocks):
        name = f"main.{9 + b}.main"
        h = F.relu(norm(F.conv2d(x, p[f"{name}.0.weight"], padding=1), f"{name}.1"))
        x = x + norm(F.conv2d(h, p[f"{name}.3.weight"], padding=1), f"{name}.4")
    feature, up = x, 9 + blocks
    for i in (up, up + 3):
        x = F.relu(norm(F.conv_transpose2d(x, p[f"main.{i}.weight"], stride=2, padding=1), f"main.{i + 1}"))
    return F.conv2d(x, p[f"main.{up + 6}.weight"], padding=3), feature


def declare_attentiongan(s, **shape):
    declare_stargan(s, outputs=4, **shape)


def run_attentiongan(p, x, c):
    y, feature = stargan_backbone(p, x, c)
    attention = torch.sigmoid(y[:, :1])
    return {"y": attention * y[:, 1:] + (1 - attention) * x, "feature": feature}


def attgan_widths(width, layers):
    return [min(width << i, 1024) for i in range(layers)]


def declare_attgan(s, width, attributes, layers, shortcuts=1, injections=1):
    widths, channels = attgan_widths(width, layers), 3
    for i, n in enumerate(widths):
        s.layer(f"enc_layers.{i}.layers.0", (n, channels, 4, 4))
        s.norm(f"enc_layers.{i}.layers.1", (n,), running=True)
        channels = n
    channels += attributes
    for i in range(layers - 1):
        n = min(width << (layers - 1 - i), 1024)
        s.layer(f"dec_layers.{i}.layers.0", (channels, n, 4, 4))
        s.norm(f"dec_layers.{i}.layers.1", (n,), running=True)
        channels = n + (widths[layers - 2 - i] if i < shortcuts else 0) + (attributes if i < injections else 0)
    s.layer(f"dec_layers.{layers - 1}.layers.0", (channels, 3, 4, 4), bias=3)


def attgan_norm(p, x, name, training):
    if training:
        return F.batch_norm(x, None, None, p[f"{name}.weight"], p[f"{name}.bias"], training=True)
    q = [p[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *q)


def attgan_encode(p, x, training=False):
    layers = len([k for k in p if k.startswith("enc_layers") and k.endswith("layers.0.weight")])
    codes = []
    for i in range(layers):
        z = F.conv2d(codes[-1] if codes else x, p[f"enc_layers.{i}.layers.0.weight"], stride=2, padding=1)
        codes.append(F.leaky_relu(attgan_norm(p, z, f"enc_layers.{i}.layers.1", training), 0.01))
    return codes


def attgan_decode(p, codes, c, training=False):
    def tiled(z):
        return c[:, :, None, None].expand(-1, -1, *z.shape[2:])

    layers = len(codes)
    z = torch.cat([codes[-1], tiled(codes[-1])], 1)
    for i in range(layers - 1):
        z = F.conv_transpose2d(z, p[f"dec_layers.{i}.layers.0.weight"], stride=2, padding=1)
        z = F.relu(attgan_norm(p, z, f"dec_layers.{i}.layers.1", training))
        missing = p[f"dec_layers.{i + 1}.layers.0.weight"].shape[0] - z.shape[1]
        shortcut = codes[layers - 2 - i].shape[1]
        if missing >= shortcut:
            z, missing = torch.cat([z, codes[layers - 2 - i]], 1), missing - shortcut
        if missing:
            z = torch.cat([z, tiled(z)], 1)
    last = f"dec_layers.{layers - 1}.layers.0"
    return torch.tanh(F.conv_transpose2d(z, p[f"{last}.weight"], p[f"{last}.bias"], stride=2, padding=1))


def run_attgan(p, x, c):
    codes = attgan_encode(p, x)
    return {"y": attgan_decode(p, codes, c), "feature": codes[-1]}


def declare_hisd(s, encoder, translator, extractor, mapper, style, noise, answers):
    def block(name, a, b, middle):
        s.layer(f"{name}.conv1", (middle, a, 3, 3), bias=middle)
        s.layer(f"{name}.conv2", (b, middle, 3, 3), bias=b)
        s.layer(f"{name}.sc", (b, a, 1, 1))

    s.layer("encoder.0", (encoder[0], 3, 1, 1), bias=encoder[0])
    for i, (a, b) in enumerate(zip(encoder, encoder[1:])):
        block(f"encoder.{i + 1}", a, b, a)
        s.norm(f"encoder.{i + 1}.in1", (1, a, 1))
        s.norm(f"encoder.{i + 1}.in2", (1, a, 1))
    decoder = encoder[::-1]
    for i, (a, b) in enumerate(zip(decoder, decoder[1:])):
        block(f"decoder.{i}", a, b, b)
        s.norm(f"decoder.{i}.in1", (1, a, 1))
        s.norm(f"decoder.{i}.in2", (1, b, 1))
    s.layer(f"decoder.{len(decoder) - 1}", (3, decoder[-1], 1, 1), bias=3)
    s.layer("extractors.model.0", (extractor[0], 3, 1, 1), bias=extractor[0])
    for i, (a, b) in enumerate(zip(extractor, extractor[1:])):
        block(f"extractors.model.{i + 1}", a, b, a)
    styles = style * len(answers)
    s.layer(f"extractors.model.{len(extractor) + 1}", (styles, extractor[-1], 1, 1), bias=styles)
    for t in range(len(answers)):
        name = f"translators.{t}"
        s.layer(f"{name}.model.0", (translator[0], encoder[-1], 1, 1), bias=translator[0])
        for i, (a, b) in enumerate(zip(translator, translator[1:])):
            block(f"{name}.model.{i + 1}", a, b, b)
        values = 2 * sum(a + b for a, b in zip(translator, translator[1:]))
        s.layer(f"{name}.style_to_params", (values, style), bias=values)
        for part in ("features", "masks"):
            s.layer(f"{name}.{part}.0", (decoder[0], translator[-1], 1, 1), bias=decoder[0])
    for t, count in enumerate(answers):
        name = f"mappers.{t}"
        s.layer(f"{name}.pre_model.0", (mapper[0], noise), bias=mapper[0])
        for i, (a, b) in enumerate(zip(mapper, mapper[1:])):
            s.layer(f"{name}.pre_model.{i + 1}.linear", (b, a), bias=b)
            for j in range(count):
                s.layer(f"{name}.post_models.{j}.{i}.linear", (b, a), bias=b)
        for j in range(count):
            s.layer(f"{name}.post_models.{j}.{len(mapper) - 1}", (style, mapper[-1]), bias=style)


def hisd_conv(p, x, name, padding=0):
    return F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), padding=padding)


def hisd_unbiased(x, weight, bias):
    flat = x.flatten(2)
    h = (flat - flat.mean(-1, keepdim=True)) / (flat.std(-1, keepdim=True) + 1e-5)
    return F.leaky_relu((h * weight + bias).reshape(x.shape), 0.2)


def hisd_norm(p, x, name):
    return hisd_unbiased(x, p[f"{name}.weight"], p[f"{name}.bias"])


def hisd_half(a, b):
    return (a + b) / 2**0.5


def hisd_twice(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def hisd_count(p, template, first=1):
    n = 0
    while template.format(n + first) in p:
        n += 1
    return n


def hisd_encode(p, x):
    e = hisd_conv(p, x, "encoder.0")
    for i in range(1, hisd_count(p, "encoder.{}.conv1.weight") + 1):
        n = f"encoder.{i}"
        inner = F.avg_pool2d(hisd_conv(p, hisd_norm(p, e, f"{n}.in1"), f"{n}.conv1", 1), 2)
        e = hisd_half(F.avg_pool2d(hisd_conv(p, e, f"{n}.sc"), 2), hisd_conv(p, hisd_norm(p, inner, f"{n}.in2"), f"{n}.conv2", 1))
    return e


def hisd_trunk(p, x, base):
    """What the extractor and the discriminator share."""
    s = hisd_conv(p, x, f"{base}.0")
    for i in range(1, hisd_count(p, base + ".{}.conv1.weight") + 1):
        n = f"{base}.{i}"
        inner = F.avg_pool2d(hisd_conv(p, F.leaky_relu(s, 0.2), f"{n}.conv1", 1), 2)
        s = hisd_half(F.avg_pool2d(hisd_conv(p, s, f"{n}.sc"), 2), hisd_conv(p, F.leaky_relu(inner, 0.2), f"{n}.conv2", 1))
    return s.mean((2, 3), keepdim=True)


def hisd_style(p, images, tag):
    layers = hisd_count(p, "extractors.model.{}.conv1.weight")
    s = hisd_conv(p, hisd_trunk(p, images, "extractors.model"), f"extractors.model.{layers + 2}")
    tags = len([k for k in p if k.endswith(".style_to_params.weight")])
    return s.reshape(images.shape[0], tags, -1)[:, tag]


def hisd_mapped(p, noise, tag, answer):
    m = f"mappers.{tag}"

    def linear(x, name):
        return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])

    z = linear(noise, f"{m}.pre_model.0")
    deeper = hisd_count(p, m + ".pre_model.{}.linear.weight")
    for i in range(deeper):
        z = linear(F.relu(z), f"{m}.pre_model.{i + 1}.linear")
    for i in range(deeper):
        z = linear(F.relu(z), f"{m}.post_models.{answer}.{i}.linear")
    return linear(z, f"{m}.post_models.{answer}.{deeper}")


def hisd_translate(p, e, style, tag):
    t = f"translators.{tag}"
    values = F.linear(style, p[f"{t}.style_to_params.weight"], p[f"{t}.style_to_params.bias"])

    def adapted(x):
        nonlocal values
        c = x.shape[1]
        bias, weight, values = values[:, :c, None], values[:, c : 2 * c, None] + 1, values[:, 2 * c :]
        return hisd_unbiased(x, weight, bias)

    m = hisd_conv(p, e, f"{t}.model.0")
    for i in range(1, hisd_count(p, t + ".model.{}.conv1.weight") + 1):
        n = f"{t}.model.{i}"
        shortcut = hisd_conv(p, m, f"{n}.sc")
        inner = hisd_conv(p, adapted(m), f"{n}.conv1", 1)
        m = hisd_half(shortcut, hisd_conv(p, adapted(inner), f"{n}.conv2", 1))
    mask = torch.sigmoid(hisd_conv(p, m, f"{t}.masks.0"))
    return hisd_conv(p, m, f"{t}.features.0") * mask + e * (1 - mask)


def hisd_decode(p, y):
    doublings = len([k for k in p if k.startswith("decoder.") and k.endswith(".conv1.weight")])
    for i in range(doublings):
        n = f"decoder.{i}"
        inner = hisd_conv(p, hisd_twice(hisd_norm(p, y, f"{n}.in1")), f"{n}.conv1", 1)
        y = hisd_half(hisd_twice(hisd_conv(p, y, f"{n}.sc")), hisd_conv(p, hisd_norm(p, inner, f"{n}.in2"), f"{n}.conv2", 1))
    return hisd_conv(p, y, f"decoder.{doublings}")


def run_hisd(p, x, reference, tag):
    e = hisd_encode(p, x)
    return {"y": hisd_decode(p, hisd_translate(p, e, hisd_style(p, reference, tag), tag)), "feature": e}


# Detectors.


def preprocessed(x):
    means = torch.tensor([104.0, 117.0, 123.0], dtype=x.dtype)[None, :, None, None]
    return ((x + 1) * 127.5)[:, [2, 1, 0]] - means


def joined(maps, values):
    return torch.cat([m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, values) for m in maps], 1)


def detector_results(conf, loc, features):
    return {"conf": conf, "loc": loc, **{f"feature{i + 1}": f for i, f in enumerate(features)}}


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


def normed_conv(p, x, name, norm=None, stride=1, padding=0, dilation=1, groups=1):
    """A convolution, and the batch norm after it where it has not been folded in."""
    x = F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), stride, padding, dilation, groups)
    if f"{norm}.running_mean" not in p:
        return x
    return F.batch_norm(x, *(p[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))


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
    for i, after in enumerate(ULTRALIGHT_CHANNELS):
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


# dlib's detectors: an image pyramid, each level five sixths of the one before.

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


def gradient(results, x):
    """The gradient of mean(first output squared) with respect to x."""
    return torch.autograd.grad((next(iter(results.values())) ** 2).mean(), x)[0]


# Training steps: discriminators, and one step of each network against the other as it is.


def declare_stargan_critic(s, width, layers, attributes, size):
    channels = 3
    for i in range(layers):
        s.layer(f"main.{2 * i}", (width << i, channels, 4, 4), bias=width << i)
        channels = width << i
    s.layer("conv1", (1, channels, 3, 3))
    s.layer("conv2", (attributes, channels, size >> layers, size >> layers))


def run_stargan_critic(p, x):
    for i in range(len([k for k in p if k.startswith("main.") and k.endswith(".weight")])):
        x = F.leaky_relu(F.conv2d(x, p[f"main.{2 * i}.weight"], p[f"main.{2 * i}.bias"], stride=2, padding=1), 0.01)
    return F.conv2d(x, p["conv1.weight"], padding=1), F.conv2d(x, p["conv2.weight"]).flatten(1)


def declare_attgan_critic(s, width, layers, hidden, attributes, size):
    channels = 3
    for i in range(layers):
        n = min(width << i, 1024)
        s.layer(f"conv.{i}.layers.0", (n, channels, 4, 4))
        s.norm(f"conv.{i}.layers.1", (n,))
        channels = n
    for head, outputs in (("fc_adv", 1), ("fc_cls", attributes)):
        s.layer(f"{head}.0.layers.0", (hidden, channels * (size >> layers) ** 2), bias=hidden)
        s.layer(f"{head}.1.layers.0", (outputs, hidden), bias=outputs)


def run_attgan_critic(p, x):
    for i in range(len([k for k in p if k.startswith("conv.") and k.endswith("layers.0.weight")])):
        n = f"conv.{i}.layers"
        x = F.conv2d(x, p[f"{n}.0.weight"], stride=2, padding=1)
        x = F.leaky_relu(F.instance_norm(x, weight=p[f"{n}.1.weight"], bias=p[f"{n}.1.bias"]), 0.01)

    def head(name):
        def linear(x, i):
            return F.linear(x, p[f"{name}.{i}.layers.0.weight"], p[f"{name}.{i}.layers.0.bias"])

        return linear(F.relu(linear(x.flatten(1), 0)), 1)

    return head("fc_adv"), head("fc_cls")


def declare_hisd_critic(s, channels, style, answers, others):
    s.layer("conv.0", (channels[0], 3, 1, 1), bias=channels[0])
    for i, (a, b) in enumerate(zip(channels, channels[1:])):
        s.layer(f"conv.{i + 1}.conv1", (a, a, 3, 3), bias=a)
        s.layer(f"conv.{i + 1}.conv2", (b, a, 3, 3), bias=b)
        s.layer(f"conv.{i + 1}.sc", (b, a, 1, 1))
    for t, count in enumerate(answers):
        s.layer(f"fcs.{t}.0", (2 * count, channels[-1] + style + others[t], 1, 1), bias=2 * count)


def run_hisd_critic(p, x, style, others, tag, answer):
    """[N, 2]: the scores of a translation and of a cycle's end."""
    joined = torch.cat([hisd_trunk(p, x, "conv"), style[:, :, None, None], others[:, :, None, None]], 1)
    return hisd_conv(p, joined, f"fcs.{tag}.0").reshape(x.shape[0], 2, -1)[:, :, answer]


def attribute_losses(critic, edit, both, sums, rec):
    """The losses of WGAN-GP with attributes; `edit(g, inputs)` gives an edit, `both` also what the cycle or the code gives back."""

    def classes(logits, labels):
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        return loss * labels.shape[1] if sums else loss

    def d_losses(g, d, inputs):
        x, alpha = inputs["x_real"], inputs["alpha"]
        with torch.no_grad():
            fake = edit(g, inputs)
        score, logits = critic(d, x)
        between = (alpha * x + (1 - alpha) * fake).requires_grad_()
        slope = torch.autograd.grad(critic(d, between)[0].sum(), between, create_graph=True)[0]
        parts = {
            "real": -score.mean(),
            "fake": critic(d, fake)[0].mean(),
            "cls": classes(logits, inputs["c_org"]),
            "gp": ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean(),
        }
        return parts, parts["real"] + parts["fake"] + parts["cls"] + 10 * parts["gp"]

    def g_losses(g, d, inputs):
        fake, again = both(g, inputs)
        score, logits = critic(d, fake)
        parts = {"adv": -score.mean(), "cls": classes(logits, inputs["c_trg"]), "rec": (again - inputs["x_real"]).abs().mean()}
        return parts, parts["adv"] + (1 if sums else 10) * parts["cls"] + rec * parts["rec"]

    return d_losses, g_losses


def stargan_edits(run):
    def edit(g, inputs):
        return run(g, inputs["x_real"], inputs["c_trg"])["y"]

    def both(g, inputs):
        fake = edit(g, inputs)
        return fake, run(g, fake, inputs["c_org"])["y"]

    return edit, both


def attgan_edits():
    def edit(g, inputs):
        return attgan_decode(g, attgan_encode(g, inputs["x_real"], True), inputs["c_trg"] - 0.5, True)

    def both(g, inputs):
        codes = attgan_encode(g, inputs["x_real"], True)
        return [attgan_decode(g, codes, inputs[c] - 0.5, True) for c in ("c_trg", "c_org")]

    return edit, both


def hisd_losses(tag):
    def made(g, inputs):
        x = inputs["x_real"]
        e, own = hisd_encode(g, x), hisd_style(g, x, tag)
        wanted = hisd_mapped(g, inputs["noise"], tag, int(inputs["to"]))
        translated = hisd_decode(g, hisd_translate(g, e, wanted, tag))
        cycled = hisd_decode(g, hisd_translate(g, hisd_encode(g, translated), own, tag))
        return e, own, wanted, translated, cycled

    def score(d, x, style, inputs, answer):
        return run_hisd_critic(d, x, style, inputs["others"], tag, int(inputs[answer]))

    def d_losses(g, d, inputs):
        # What the generator's step made, where that was before.
        if "made" not in inputs:
            with torch.no_grad():
                inputs = {**inputs, "made": made(g, inputs)}
        _, own, wanted, translated, cycled = inputs["made"]
        x = inputs["x_real"].clone().requires_grad_()
        real = score(d, x, own, inputs, "from")
        penalty = 0
        for column in range(2):
            slope = torch.autograd.grad(real[:, column].sum(), x, create_graph=True)[0]
            penalty = penalty + (slope.flatten(1) ** 2).sum(1).mean()
        fake = F.relu(1 + score(d, translated, wanted, inputs, "to")[:, 0]).mean() + F.relu(1 + score(d, cycled, own, inputs, "from")[:, 1]).mean()
        parts = {"real": F.relu(1 - real).sum(1).mean(), "fake": fake, "gp": penalty}
        return parts, sum(parts.values())

    def g_losses(g, d, inputs):
        x = inputs["x_real"]
        e, own, wanted, translated, cycled = parts = made(g, inputs)
        if "keep" in inputs:
            inputs["keep"]["made"] = [part.detach() for part in parts]
        adversarial = score(d, x, own, inputs, "from").sum(1).mean() - score(d, translated, wanted.detach(), inputs, "to")[:, 0].mean()
        adversarial = adversarial - score(d, cycled, own.detach(), inputs, "from")[:, 1].mean()
        again = [hisd_decode(g, e), hisd_decode(g, hisd_translate(g, e, own, tag)), cycled]
        parts = {
            "adv": adversarial,
            "sty": (hisd_style(g, translated, tag) - wanted).abs().mean(),
            "rec": sum((y - x).abs().mean() for y in again),
        }
        return parts, sum(parts.values())

    return d_losses, g_losses


# By model: the losses, Adam's rate and betas, as the authors have them.
TRAINING = {
    "stargan": (attribute_losses(run_stargan_critic, *stargan_edits(run_stargan), True, 10), 1e-4, (0.5, 0.999)),
    "attentiongan": (attribute_losses(run_stargan_critic, *stargan_edits(run_attentiongan), True, 10), 1e-4, (0.5, 0.999)),
    "attgan": (attribute_losses(run_attgan_critic, *attgan_edits(), False, 100), 2e-4, (0.5, 0.999)),
    "hisd": (hisd_losses(1), 1e-4, (0.0, 0.99)),
}


def training_step(name, g, d, inputs):
    """What `tsdf forward MODEL --critic` writes, in the precision of the parameters."""
    (d_losses, g_losses), rate, betas = TRAINING[name]
    results = {}

    def differentiate(prefix, losses, p):
        names = sorted(k for k in p if "running_" not in k and "num_batches" not in k)
        leaves = {k: p[k].detach().clone().requires_grad_(k in names) for k in p}
        parts, total = losses(leaves)
        for key, value in {**parts, "total": total}.items():
            results[f"{prefix.lower()}.{key}"] = value.detach()
        found = torch.autograd.grad(total, [leaves[k] for k in names], allow_unused=True)
        for k, gradient in zip(names, found):
            leaves[k].grad = torch.zeros_like(leaves[k]) if gradient is None else gradient
            results[f"{prefix}.grad.{k}"] = leaves[k].grad.detach()
        return {k: leaves[k] for k in names}

    differentiate("G", lambda p: g_losses(p, d, inputs), g)
    leaves = differentiate("D", lambda p: d_losses(g, p, inputs), d)
    torch.optim.Adam(leaves.values(), rate, betas).step()
    results.update({f"D.after.{k}": v.detach() for k, v in leaves.items()})
    return results


# Inception v3 for the Frechet inception distance.


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


# Learned perceptual image patch similarity, with AlexNet.


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


# dlib's face recognition network.


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
