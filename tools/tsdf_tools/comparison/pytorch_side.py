"""PyTorch's side of a step: sets up, writes its outputs, then makes one timed run for every line on stdin.

Usage: python -m tsdf_tools.comparison.pytorch_side NAME FOLDER [--cuda [--tf32]]
"""

import argparse
import os
import resource
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from tsdf_tools import project
from tsdf_tools.comparison.steps import CRAFT, FETCHED, HISD, STEPS, networks
from tsdf_tools.reference.attgan import run_attgan
from tsdf_tools.reference.hisd import run_hisd
from tsdf_tools.reference.mobile_detectors import run_mtcnn
from tsdf_tools.reference.retinaface import run_retinaface
from tsdf_tools.reference.stargan import run_attentiongan, run_stargan
from tsdf_tools.reference.training import TRAINING
from tsdf_tools.reference.vgg_detectors import run_dsfd, run_s3fd

GENERATORS = {"stargan": run_stargan, "attentiongan": run_attentiongan, "attgan": run_attgan, "hisd": run_hisd}
DETECTORS = {"retinaface": run_retinaface, "retinaface-resnet50": run_retinaface, "s3fd": run_s3fd, "dsfd": run_dsfd}


class Setting:
    """A step's inputs and weights, on the device that PyTorch works on."""

    def __init__(self, name, folder, device):
        self.name, self.folder, self.device = name, folder, device
        self.inputs = load_file(os.path.join(folder, "input.safetensors"), device=device)

    def weights(self, network):
        folder = project.MODELS if network in FETCHED else self.folder
        return load_file(os.path.join(folder, f"{network}.safetensors"), device=self.device)

    def generator(self, network):
        """What gives the edits of images."""
        p, run = self.weights(network), GENERATORS[network]
        more = (self.inputs["reference"], 0) if network == "hisd" else (self.inputs["c"],)
        return lambda images: run(p, images, *more)["y"]

    def detector(self, network):
        """What gives the scores and boxes of images."""
        p = self.weights(network)
        if network == "mtcnn":
            return lambda images: mtcnn_pyramid(p, images)
        return lambda images: list(DETECTORS[network](p, images).values())[:2]


def mtcnn_pyramid(p, images):
    """The P-Net's scores and boxes over an image pyramid."""
    scale, found = 12 / 20, []
    height, width = images.shape[2:]
    while min(height, width) * scale >= 12:
        size = (int(height * scale + 1), int(width * scale + 1))
        made = run_mtcnn(p, "pnet", F.interpolate(images, size=size, mode="area"))
        found.append((made["conf"], made["loc"]))
        scale *= 0.709
    return [torch.cat([f[i].permute(0, 2, 3, 1).reshape(len(images), -1, n) for f in found], 1) for i, n in ((0, 2), (1, 4))]


def gradient_step(setting):
    run, x = setting.generator("stargan"), setting.inputs["x"]

    def step():
        leaf = x.clone().requires_grad_()
        y = run(leaf)
        (g,) = torch.autograd.grad((y * y).mean(), leaf)
        return {"y": y.detach(), "x.grad": g}

    return step


def craft_step(setting):
    x, start = setting.inputs["x"], setting.inputs["start"]
    generators, detectors = CRAFT[setting.name]
    generators = [setting.generator(network) for network in generators]
    detectors = [setting.detector(network) for network in detectors]
    with torch.no_grad():
        clean = [run(x) for run in generators]

    def disruption(run, y, leaf):
        return -((run(leaf) - y) ** 2).mean()

    def detection(run, leaf):
        conf = run(leaf)[0]
        return F.softplus(conf[..., 1] - conf[..., 0]).mean()

    def step():
        leaf = (x + start).clamp(-1, 1).requires_grad_()
        # One at a time, so that only one network's features are kept.
        losses = [(disruption, (run, y)) for run, y in zip(generators, clean)] + [(detection, (run,)) for run in detectors]
        total = 0
        for loss, arguments in losses:
            (g,) = torch.autograd.grad(loss(*arguments, leaf), leaf)
            g = g.sum(0, keepdim=True)
            total = total + g / (g.abs().mean() + 1e-12)
        return {"w": (start - 0.01 * total.sign()).clamp(-0.05, 0.05)}

    return step


def detect_step(setting):
    run, x = setting.detector(STEPS[setting.name][0]), setting.inputs["x"]

    def step():
        with torch.no_grad():
            conf, loc = run(x)
        return {"conf": conf, "loc": loc}

    return step


def train_step(setting):
    model, batch, c = setting.name.split("-")[0], STEPS[setting.name][2], setting.inputs["c"]
    (d_losses, g_losses), rate, betas = TRAINING[model]
    g, d = (setting.weights(network) for network in networks(setting.name))
    trained = [{k: v.requires_grad_() for k, v in p.items() if "running_" not in k} for p in (g, d)]
    g_optimiser, d_optimiser = (torch.optim.Adam(p.values(), rate, betas) for p in trained)
    inputs = {"x_real": setting.inputs["x"], "c_org": c, "c_trg": c.roll(1, 0), "others": c[:, 1:]}
    inputs.update({"from": torch.tensor(0), "to": torch.tensor(1)})
    average = {k: v.detach().clone() for k, v in g.items()}

    def update(losses, parameters, optimiser, given):
        optimiser.zero_grad()
        losses(g, d, given)[1].backward(inputs=list(parameters.values()))
        optimiser.step()

    def hisd_step():
        # The generator first; the discriminator judges what it made, and the weights' average follows.
        keep = {}
        update(g_losses, trained[0], g_optimiser, {**inputs, "noise": torch.randn(batch, HISD["noise"]), "keep": keep})
        update(d_losses, trained[1], d_optimiser, {**inputs, **keep})
        with torch.no_grad():
            for k, v in average.items():
                v.lerp_(g[k], 0.01)
        return {}

    def wasserstein_step():
        for _ in range(5):
            update(d_losses, trained[1], d_optimiser, {**inputs, "alpha": torch.rand(batch, 1, 1, 1)})
        update(g_losses, trained[0], g_optimiser, inputs)
        return {}

    return hisd_step if model == "hisd" else wasserstein_step


KINDS = {"gradient": gradient_step, "craft": craft_step, "train": train_step, "retinaface": detect_step, "mtcnn": detect_step}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("folder")
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--tf32", action="store_true")
    arguments = parser.parse_args()
    if arguments.cuda:
        torch.set_default_device("cuda")
        torch.backends.cudnn.allow_tf32 = arguments.tf32
        torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
        torch.backends.cudnn.benchmark = True
    setting = Setting(arguments.name, arguments.folder, "cuda" if arguments.cuda else "cpu")
    step = KINDS[STEPS[arguments.name][0]](setting)
    synchronize = torch.cuda.synchronize if arguments.cuda else lambda: None
    save_file({k: v.contiguous() for k, v in step().items()}, os.path.join(arguments.folder, "pytorch.safetensors"))
    print("ready", flush=True)
    for _ in sys.stdin:
        synchronize()
        start = time.perf_counter()
        step()
        synchronize()
        print(time.perf_counter() - start, flush=True)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(torch.cuda.max_memory_reserved() if arguments.cuda else resident, flush=True)


if __name__ == "__main__":
    main()
