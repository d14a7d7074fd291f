"""Golden values of every operation, computed with PyTorch in float64 and stored as float32.

For each case: inputs i0, i1, ...; the upstream gradient g; output y; input gradients d0, d1, ...; and, with cotangents
v0, v1, ... for those gradients, the gradients of sum(d_j * v_j) with respect to the inputs (e0, e1, ...) and to g (eg).

A new case comes last: the cases draw from one random stream, so that all after it change.

Usage: python tools/make-goldens.py OUTPUT.safetensors
"""

import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SEED = 20260101
torch.manual_seed(SEED)
tensors = {}


def normal(*shape):
    return torch.randn(shape)


def away_from_zero(*shape):
    x = torch.randn(shape)
    return x + 0.2 * torch.sign(x)


def positive(*shape):
    return torch.rand(shape) + 0.3


def case(name, function, *inputs, second=True):
    inputs = [i.to(torch.float64).requires_grad_() for i in inputs]
    y = function(*inputs)
    g = torch.randn(y.shape).to(torch.float64).requires_grad_()
    d = torch.autograd.grad(y, inputs, g, create_graph=True)
    for k, i in enumerate(inputs):
        tensors[f"{name}/i{k}"] = i
        tensors[f"{name}/d{k}"] = d[k]
    tensors[f"{name}/y"], tensors[f"{name}/g"] = y, g
    if not second:
        return
    v = [torch.randn(i.shape).to(torch.float64) for i in inputs]
    total = sum((a * b).sum() for a, b in zip(d, v))
    if not total.requires_grad:
        return
    e = torch.autograd.grad(total, [*inputs, g], allow_unused=True)
    for k, value in enumerate(v):
        tensors[f"{name}/v{k}"] = value
    for k in range(len(inputs)):
        tensors[f"{name}/e{k}"] = e[k] if e[k] is not None else torch.zeros_like(inputs[k])
    tensors[f"{name}/eg"] = e[-1] if e[-1] is not None else torch.zeros_like(g)


# Convolutions: every algorithm and odd sizes.
case("conv_3x3", lambda x, w, b: F.conv2d(x, w, b, padding=1), normal(2, 17, 13, 11), normal(19, 17, 3, 3), normal(19))
case("conv_3x3_wide", lambda x, w: F.conv2d(x, w, padding=1), normal(1, 16, 10, 70), normal(16, 16, 3, 3))
case("conv_4x4_s2", lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), normal(3, 5, 18, 34), normal(7, 5, 4, 4), normal(7))
case("conv_7x7", lambda x, w, b: F.conv2d(x, w, b, padding=3), normal(2, 4, 15, 21), normal(9, 4, 7, 7), normal(9))
case("conv_thin", lambda x, w, b: F.conv2d(x, w, b, padding=1), normal(1, 6, 9, 20), normal(3, 6, 3, 3), normal(3))
case("conv_1x1", lambda x, w, b: F.conv2d(x, w, b), normal(2, 33, 5, 7), normal(31, 33, 1, 1), normal(31))
case("conv_2x2", lambda x, w, b: F.conv2d(x, w, b), normal(2, 8, 6, 5), normal(10, 8, 2, 2), normal(10))
case("conv_dilated", lambda x, w: F.conv2d(x, w, padding=4, dilation=3), normal(1, 3, 16, 17), normal(5, 3, 3, 3))
case("conv_s3", lambda x, w: F.conv2d(x, w, stride=3, padding=2), normal(2, 3, 14, 11), normal(4, 3, 5, 5))
case("conv_grouped", lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1, groups=3), normal(2, 6, 9, 8), normal(9, 2, 3, 3), normal(9))
case("conv_depthwise", lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=8), normal(2, 8, 7, 9), normal(8, 1, 3, 3), normal(8))
case("conv_rect", lambda x, w: F.conv2d(x, w, padding=1), normal(1, 3, 8, 19), normal(2, 3, 2, 4))
case("deconv_4x4_s2", lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1), normal(2, 7, 6, 9), normal(7, 5, 4, 4), normal(5))
case("deconv_3x3_op", lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1), normal(1, 4, 5, 6), normal(4, 3, 3, 3))
case("deconv_grouped", lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, groups=2), normal(1, 4, 5, 3), normal(4, 3, 2, 2), normal(6))
case("linear", lambda x, w, b: F.linear(x, w, b), normal(5, 37), normal(18, 37), normal(18))
case("matmul_tn", lambda a, b: a.t() @ b, normal(21, 13), normal(21, 17))
case("matmul_tt", lambda a, b: a.t() @ b.t(), normal(9, 13), normal(17, 9))

# Normalisation.
case("instance_norm", lambda x, w, b: F.instance_norm(x, weight=w, bias=b), normal(2, 5, 9, 7), normal(5), normal(5))
case("instance_norm_relu", lambda x, w, b: F.relu(F.instance_norm(x, weight=w, bias=b)), normal(2, 3, 8, 8), normal(3), normal(3))
case("instance_norm_leaky", lambda x, w, b: F.leaky_relu(F.instance_norm(x, weight=w, bias=b), 0.2), normal(1, 3, 5, 6), normal(3), normal(3))
case("batch_norm_train", lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), normal(3, 4, 5, 7), normal(4), normal(4))
mean, var = torch.randn(4), torch.rand(4) + 0.5
tensors["batch_norm_eval/mean"], tensors["batch_norm_eval/var"] = mean, var
case("batch_norm_eval", lambda x, w, b: F.batch_norm(x, mean.double(), var.double(), w, b), normal(3, 4, 5, 7), normal(4), normal(4))

# Elementwise.
case("relu", F.relu, away_from_zero(3, 33))
case("leaky_relu", lambda x: F.leaky_relu(x, 0.01), away_from_zero(3, 33))
case("prelu", F.prelu, away_from_zero(2, 5, 3, 4), normal(5))
case("tanh", torch.tanh, normal(65))
case("sigmoid", torch.sigmoid, normal(65))
case("softplus", F.softplus, normal(31))
case("exp", torch.exp, normal(31))
case("log", torch.log, positive(31))
case("sqrt", torch.sqrt, positive(31))
case("abs", torch.abs, away_from_zero(31))
case("reciprocal", torch.reciprocal, positive(31))
case("power", lambda x: x**2.5, positive(31))
case("clamp", lambda x: x.clamp(-0.7, 0.9), normal(63))
case("affine", lambda x: 2.5 * x - 0.75, normal(7))
case("add", lambda a, b: a + b, normal(2, 3, 4, 5), normal(3, 1, 5))
case("subtract", lambda a, b: a - b, normal(2, 1, 5), normal(2, 3, 1))
case("multiply", lambda a, b: a * b, normal(2, 3, 4, 5), normal(3, 1, 1))
case("divide", lambda a, b: a / b, normal(4, 5), positive(4, 1))
case("maximum", torch.maximum, normal(4, 5), normal(1, 5))
case("minimum", torch.minimum, normal(4, 5), normal(4, 5))

# Reductions.
case("sum_all", lambda x: x.sum(), normal(3, 5, 7))
case("sum_long", lambda x: x.sum(), normal(20011))
case("sum_outer", lambda x: x.sum(dim=0), normal(7, 5, 3))
case("mean_channels", lambda x: x.mean(dim=(0, 2, 3)), normal(3, 4, 5, 6))
case("mean_keep", lambda x: x.mean(dim=(1, 3), keepdim=True), normal(3, 4, 5, 6))
case("max_last", lambda x: x.amax(dim=2), normal(3, 4, 33))
case("max_middle", lambda x: x.amax(dim=1), normal(3, 9, 4))
case("softmax", lambda x: F.softmax(x, dim=1), normal(3, 7, 2))
case("log_sum_exp", lambda x: torch.logsumexp(x, dim=1), normal(4, 6))

# Pooling and resampling.
case("max_pool", lambda x: F.max_pool2d(x, 3, 2, 1), normal(2, 3, 9, 8))
case("max_pool_ceil", lambda x: F.max_pool2d(x, 2, 2, 0, ceil_mode=True), normal(1, 2, 7, 5))
case("max_pool_3_ceil", lambda x: F.max_pool2d(x, 3, 2, 0, ceil_mode=True), normal(1, 2, 10, 13))
case("average_pool", lambda x: F.avg_pool2d(x, 3, 2, 1), normal(2, 3, 9, 8))
case("average_pool_ceil", lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), normal(1, 2, 8, 10))
case("bilinear_up", lambda x: F.interpolate(x, (17, 13), mode="bilinear"), normal(2, 3, 5, 7))
case("bilinear_down", lambda x: F.interpolate(x, (5, 4), mode="bilinear"), normal(1, 2, 16, 13))
case("bilinear_corners", lambda x: F.interpolate(x, (11, 5), mode="bilinear", align_corners=True), normal(1, 2, 6, 9))
case("bilinear_corners_one", lambda x: F.interpolate(x, (1, 1), mode="bilinear", align_corners=True), normal(1, 2, 6, 9))
case("nearest", lambda x: F.interpolate(x, (13, 6), mode="nearest"), normal(1, 2, 5, 9))
case("area", lambda x: F.interpolate(x, (4, 5), mode="area"), normal(1, 2, 9, 13))
case("area_up", lambda x: F.interpolate(x, (7, 9), mode="area"), normal(1, 2, 3, 5))

# Movement.
case("permute", lambda x: x.permute(0, 2, 3, 1), normal(2, 3, 4, 5))
case("slice", lambda x: x[:, 1:4], normal(3, 5, 4))
case("pad", lambda x: F.pad(x, (1, 2, 3, 0)), normal(2, 2, 3, 4))
case("broadcast", lambda x: x.expand(4, 3, 5), normal(3, 1))
case("concatenate", lambda a, b: torch.cat([a, b], dim=1), normal(2, 3, 4), normal(2, 5, 4))
case("gather", lambda x: x[torch.tensor([2, 0, 2, 1])], normal(4, 6))

# Losses.
case("mse", lambda a, b: F.mse_loss(a, b), normal(5, 7), normal(5, 7))
case("l1", lambda a, b: F.l1_loss(a, b), normal(5, 7), normal(5, 7))
case("bce", lambda x, t: F.binary_cross_entropy_with_logits(x, t), normal(4, 5), torch.rand(4, 5))
case("cross_entropy", lambda x: F.cross_entropy(x, torch.tensor([1, 0, 2])), normal(3, 4))

# The gradient penalty of a WGAN: all of the above at second order.
def penalty(x, w, u):
    s = F.conv2d(F.leaky_relu(F.conv2d(x, w, stride=2, padding=1), 0.01), u)
    (d,) = torch.autograd.grad(s.sum(), x, create_graph=True)
    return ((d.reshape(d.shape[0], -1).pow(2).sum(1).sqrt() - 1) ** 2).mean()


case("gradient_penalty", penalty, normal(3, 3, 8, 8), normal(4, 3, 4, 4), normal(1, 4, 2, 2), second=False)

# Five steps of Adam on sum(a * p^2).
p = torch.randn(9, dtype=torch.float64, requires_grad=True)
a = torch.rand(9, dtype=torch.float64)
tensors["adam/p"], tensors["adam/a"] = p.detach().clone(), a
optimiser = torch.optim.Adam([p], lr=0.01, betas=(0.5, 0.999))
for _ in range(5):
    optimiser.zero_grad()
    (a * p * p).sum().backward()
    optimiser.step()
tensors["adam/after"] = p

# A convolution and the activation after it, in one kernel of each algorithm.
def rectified(slope, **arguments):
    return lambda x, w, b: F.leaky_relu(F.conv2d(x, w, b, **arguments), slope)


case("conv_rectified_3x3", rectified(0.1, padding=1), normal(1, 16, 17, 16), normal(17, 16, 3, 3), normal(17))
case("conv_rectified_7x7", rectified(0.2, padding=3), normal(1, 3, 9, 18), normal(5, 3, 7, 7), normal(5))
case("conv_rectified_1x1", rectified(0.0), normal(2, 5, 4, 6), normal(7, 5, 1, 1), normal(7))
case("conv_rectified_s2", rectified(0.01, stride=2, padding=1), normal(2, 3, 8, 10), normal(4, 3, 4, 4), normal(4))
case("conv_rectified_grouped", rectified(0.1, padding=1, groups=4), normal(1, 4, 6, 19), normal(8, 1, 3, 3), normal(8))

# HiSD's norm: the unbiased deviation plus epsilon; and with parameters of each image's own.
def unbiased_norm(x, g, b):
    flat = x.reshape(*x.shape[:2], -1)
    h = (flat - flat.mean(-1, keepdim=True)) / (flat.std(-1, keepdim=True) + 1e-5)
    return F.leaky_relu((h * g.reshape(-1, x.shape[1], 1) + b.reshape(-1, x.shape[1], 1)).reshape(x.shape), 0.2)


case("instance_norm_unbiased", unbiased_norm, normal(2, 3, 4, 5), normal(3), normal(3))
case("instance_norm_adaptive", unbiased_norm, normal(2, 3, 3, 7), normal(2, 3), normal(2, 3))

# Pooling and resizing by whole numbers.
case("average_pool_2", lambda x: F.avg_pool2d(x, 2), normal(2, 3, 6, 36))
case("average_pool_3", lambda x: F.avg_pool2d(x, 3), normal(1, 2, 6, 9))
case("nearest_2", lambda x: F.interpolate(x, (10, 38), mode="nearest"), normal(2, 3, 5, 19))
case("nearest_3", lambda x: F.interpolate(x, (6, 15), mode="nearest"), normal(1, 2, 2, 5))
case("area_2", lambda x: F.interpolate(x, (4, 17), mode="area"), normal(1, 3, 8, 34))

# What depends only on how far a border is, spread over an image.
def add_spread(x, cases):
    def spread(v, dim, extent):
        middle = v.shape[dim] // 2
        index = torch.arange(extent).clamp(max=middle) + (torch.arange(extent) - (extent - 1 - middle)).clamp(min=0)
        return v.index_select(dim, index)

    return x + spread(spread(cases, 2, x.shape[2]), 3, x.shape[3])


case("add_spread", add_spread, normal(2, 3, 7, 21), normal(2, 3, 5, 5))
case("add_spread_one", add_spread, normal(1, 2, 4, 3), normal(1, 2, 1, 1))

# The end of a residual block.
def residual_norm(x, w, b, other):
    return F.leaky_relu(F.instance_norm(x, weight=w, bias=b), 0.3) + other


case("instance_norm_residual", residual_norm, normal(2, 3, 7, 6), normal(3), normal(3), normal(2, 3, 7, 6))

# The median of what lies inside the image; the lower one of an even count.
def median_pool(x, size):
    def windows(v, outside):
        padded = F.pad(v, [size // 2] * 4, value=outside)
        return padded.unfold(2, size, 1).unfold(3, size, 1).flatten(-2)

    before = ((windows(torch.ones_like(x), 0).sum(-1) - 1) // 2).long()
    return windows(x, float("inf")).sort(-1).values.gather(-1, before[..., None])[..., 0]


case("median_pool", lambda x: median_pool(x, 3), normal(2, 3, 9, 8))
case("median_pool_5", lambda x: median_pool(x, 5), normal(1, 2, 7, 11))

# A norm's output times its slope along g: what a gradient penalty differentiates, up to the third order.
def with_slope(norm):
    def function(x, w, b, g):
        y = norm(x, w, b)
        (d,) = torch.autograd.grad(y, x, g, create_graph=True)
        return y * d

    return function


# By hand: PyTorch's own stops at the second order.
def biased_norm(axes):
    def function(x, w, b):
        h = x - x.mean(axes, keepdim=True)
        h = h / (h.square().mean(axes, keepdim=True) + 1e-5).sqrt()
        return F.leaky_relu(h * w.reshape(-1, 1, 1) + b.reshape(-1, 1, 1), 0.2)

    return function


case("instance_norm_slope", with_slope(biased_norm([2, 3])), normal(2, 3, 9, 7), normal(3), normal(3), normal(2, 3, 9, 7))
case("unbiased_norm_slope", with_slope(unbiased_norm), normal(2, 3, 5, 4), normal(3), normal(3), normal(2, 3, 5, 4))
case("adaptive_norm_slope", with_slope(unbiased_norm), normal(2, 3, 4, 9), normal(2, 3), normal(2, 3), normal(2, 3, 4, 9))
case("batch_norm_slope", with_slope(biased_norm([0, 2, 3])), normal(3, 2, 5, 7), normal(2), normal(2), normal(3, 2, 5, 7))

# Shrinking with every pixel counted.
case("antialiased", lambda x: F.interpolate(x, (4, 5), mode="bilinear", antialias=True), normal(1, 2, 19, 13))
case("antialiased_mixed", lambda x: F.interpolate(x, (3, 11), mode="bilinear", antialias=True), normal(2, 1, 10, 4))
case("antialiased_one", lambda x: F.interpolate(x, (1, 1), mode="bilinear", antialias=True), normal(1, 2, 6, 9))

save_file(
    {k: v.detach().to(torch.float32).contiguous() for k, v in tensors.items()},
    sys.argv[1],
    metadata={"torch": torch.__version__, "seed": str(SEED)},
)
