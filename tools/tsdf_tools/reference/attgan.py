"""AttGAN and its discriminator."""

import torch
import torch.nn.functional as F


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
