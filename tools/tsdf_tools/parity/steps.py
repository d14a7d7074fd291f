"""Training steps against PyTorch's float64."""

import collections
import os

import torch

from tsdf_tools.parity.forward import forward, relative
from tsdf_tools.parity.models import MODELS
from tsdf_tools.reference.attgan import declare_attgan_critic
from tsdf_tools.reference.hisd import declare_hisd_critic
from tsdf_tools.reference.sources import Source, image, uniform
from tsdf_tools.reference.stargan import declare_stargan_critic
from tsdf_tools.reference.training import training_step

STARGAN_CRITIC = (declare_stargan_critic, dict(width=64, layers=6, attributes=5, size=128))
# Name: the discriminator, its shape, how both nest, pixels a side.
STEPS = {
    "stargan-step": (*STARGAN_CRITIC, None, 128),
    "attentiongan-step": (*STARGAN_CRITIC, None, 128),
    "attgan-step": (declare_attgan_critic, dict(width=64, layers=5, hidden=1024, attributes=13, size=128), ("G", "D"), 128),
    "hisd-step": (declare_hisd_critic, dict(channels=[32, 64, 128, 256, 512, 512, 512], style=256, answers=[2, 2, 3], others=[2, 2, 2]), ("gen", "dis"), 128),
}


def check_step(name, folder):
    declare_critic, critic_shape, nesting, side = STEPS[name]
    model = name.removesuffix("-step")
    declare, shape, options = MODELS[model][:3]
    states, files = [], []
    for seed, declaration, extents, part in ((41, declare, shape, "G"), (42, declare_critic, critic_shape, "D")):
        source = Source(seed, varied=True, **options)
        declaration(source, **extents)
        states.append(collections.OrderedDict((k, v.float()) for k, v in source.tensors.items()))
        files.append(os.path.join(folder, f"{name}-{part}.pth"))
        torch.save({nesting[part == "D"]: states[-1]} if nesting else states[-1], files[-1])
    inputs = {"x_real": image((2, 3, side, side), 43).detach()}
    if model == "hisd":
        inputs.update(noise=uniform((2, 32), 44, 0), others=uniform((2, 2), 45, 0).round())
        inputs.update({"from": torch.tensor(0.0), "to": torch.tensor(1.0)})
    else:
        count = critic_shape["attributes"]
        inputs.update(c_org=uniform((2, count), 46, 0).round(), c_trg=uniform((2, count), 47, 0).round(), alpha=uniform((2, 1, 1, 1), 48, 0))

    def compute(dtype):
        return training_step(model, *({k: v.to(dtype) for k, v in s.items()} for s in states), {k: v.float().to(dtype) for k, v in inputs.items()})

    exact, single = compute(torch.float64), compute(torch.float32)
    tag = ["--tag", "1"] if model == "hisd" else []

    ours, passed = forward(model, files[0], inputs, folder, "--critic", files[1], *tag), True
    passed &= ours.keys() == exact.keys()
    for kind in ("d.", "g.", "D.grad.", "G.grad.", "D.after."):
        keys = [k for k in exact if k.startswith(kind) and exact[k].norm() > 1e-10]
        error, key = max((relative(ours[k], exact[k]), k) for k in keys)
        theirs = max(relative(single[k], exact[k]) for k in keys)
        # Of some seventy tensors there is always one that a rectifier's kink puts off, PyTorch's float32 likewise.
        limit = max(3e-2, 3 * theirs) if "grad" in kind else 1e-3
        passed &= error < limit
        print(f"{name:20} {kind:9} {error:8.1e}  PyTorch float32 {theirs:8.1e}  {key}{'' if error < limit else '  FAILED'}", flush=True)
    return passed
