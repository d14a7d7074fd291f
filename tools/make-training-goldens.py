"""Golden training steps of small generators and their discriminators, computed with PyTorch in float64.

The networks are written as their authors' checkpoints nest them, to be read as such; inputs and results go into one file.

Usage: python tools/make-training-goldens.py GOLDENS_DIRECTORY
"""

import collections
import os
import sys

import torch
from safetensors.torch import save_file

from tsdf_tools.reference.attgan import declare_attgan, declare_attgan_critic
from tsdf_tools.reference.hisd import declare_hisd, declare_hisd_critic
from tsdf_tools.reference.sources import Source, image, uniform
from tsdf_tools.reference.stargan import (
    declare_attentiongan,
    declare_stargan,
    declare_stargan_critic,
)
from tsdf_tools.reference.training import training_step

SIZE, COUNT, ATTRIBUTES = 16, 3, 2
STARGAN = dict(width=4, attributes=ATTRIBUTES, blocks=1)
STARGAN_CRITIC = dict(width=4, layers=2, attributes=ATTRIBUTES, size=SIZE)
HISD = dict(encoder=[4, 6, 8], translator=[5, 5, 6], extractor=[4, 5, 6], mapper=[6, 6, 6], style=7, noise=3, answers=[2, 3])
# Name: the generator, its shape, the discriminator, its shape, how both nest.
MODELS = {
    "stargan": (declare_stargan, STARGAN, declare_stargan_critic, STARGAN_CRITIC, None),
    "attentiongan": (declare_attentiongan, STARGAN, declare_stargan_critic, STARGAN_CRITIC, None),
    "attgan": (declare_attgan, dict(width=4, attributes=ATTRIBUTES, layers=3), declare_attgan_critic, dict(width=4, layers=2, hidden=5, attributes=ATTRIBUTES, size=SIZE), ("G", "D")),
    "hisd": (declare_hisd, HISD, declare_hisd_critic, dict(channels=[4, 5, 6], style=7, answers=[2, 3], others=[4, 2]), ("gen", "dis")),
}

results = {}
for name, (declare, shape, declare_critic, critic_shape, nesting) in MODELS.items():
    states = []
    for seed, declaration, extents in ((51, declare, shape), (52, declare_critic, critic_shape)):
        source = Source(seed, kaiming=name == "hisd", varied=True)
        declaration(source, **extents)
        states.append(collections.OrderedDict((k, v.float()) for k, v in source.tensors.items()))
    inputs = {"x_real": image((COUNT, 3, SIZE, SIZE), 53).detach()}
    if name == "hisd":
        inputs.update(noise=uniform((COUNT, 3), 54, 0), others=uniform((COUNT, 2), 55, 0).round())
        inputs.update({"from": torch.tensor(2.0, dtype=torch.float64), "to": torch.tensor(0.0, dtype=torch.float64)})
    else:
        inputs.update(c_org=uniform((COUNT, ATTRIBUTES), 56, 0).round(), c_trg=uniform((COUNT, ATTRIBUTES), 57, 0).round())
        inputs["alpha"] = uniform((COUNT, 1, 1, 1), 58, 0)
    inputs = {k: v.float().double() for k, v in inputs.items()}
    made = training_step(name, *({k: v.double() for k, v in state.items()} for state in states), inputs)
    results.update({f"{name}/{k}": v for k, v in {**inputs, **made}.items()})
    files = [os.path.join(sys.argv[1], "checkpoints", f"training-{name}{part}.pth") for part in ("", "-critic")]
    if name == "attgan":
        # Its authors keep their optimisers too: here after a step each, the moments of which a test looks for.
        optimisers = {}
        for key, state in zip(("optim_G", "optim_D"), states):
            leaves = [torch.nn.Parameter(v.clone()) for k, v in state.items() if "running_" not in k]
            optimiser = torch.optim.Adam(leaves, 2e-4, (0.5, 0.999))
            for number, leaf in enumerate(leaves):
                leaf.grad = torch.full_like(leaf, number + 1)
            optimiser.step()
            optimisers[key] = optimiser.state_dict()
        torch.save({**dict(zip(nesting, states)), **optimisers}, files[0])
    elif nesting:
        # Whatever is not trained on lies beside it: the averaged weights, spoilt.
        spoilt = {"gen_test": {k: v * 0 for k, v in states[0].items()}} if name == "hisd" else {}
        torch.save({**dict(zip(nesting, states)), **spoilt}, files[0])
    else:
        for state, file in zip(states, files):
            torch.save(state, file)

save_file({k: v.detach().float().contiguous().clone() for k, v in results.items()}, os.path.join(sys.argv[1], "training.safetensors"), metadata={"torch": torch.__version__})
