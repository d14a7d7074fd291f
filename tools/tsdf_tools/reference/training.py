"""Training steps: one step of each network against the other as it is."""

import torch
import torch.nn.functional as F

from .attgan import attgan_decode, attgan_encode, run_attgan_critic
from .hisd import (
    hisd_decode,
    hisd_encode,
    hisd_mapped,
    hisd_style,
    hisd_translate,
    run_hisd_critic,
)
from .stargan import run_attentiongan, run_stargan, run_stargan_critic


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
