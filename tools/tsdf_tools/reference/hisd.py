"""HiSD and its discriminator."""

import torch
import torch.nn.functional as F

# The sizes of its authors' network.
OFFICIAL_HISD = dict(
    encoder=[64, 128, 256], translator=[64] * 8, extractor=[32, 64, 128, 256, 512, 512, 512], mapper=[256] * 3, style=256, noise=32, answers=[2, 2, 3]
)


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
