"""StarGAN, AttentionGAN, which shares its backbone, and their discriminator."""

import torch
import torch.nn.functional as F


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
