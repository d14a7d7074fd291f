"""Random numbers and fresh parameters as Swift draws them: Philox4x32-10 under (seed, stream), as
Sources/Kernels/Tensor/Random.swift has it.
"""

import numpy as np
import torch


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


def gradient(results, x):
    """The gradient of mean(first output squared) with respect to x."""
    return torch.autograd.grad((next(iter(results.values())) ** 2).mean(), x)[0]
