"""Training with torch so that networks can be reduced: L1, adversarial, and for stable ReLUs.

- L1: the weights move towards zero after each step and stop there (proximal step), as the seed paper's l1 penalty
  (arXiv 1905.11428, section 5; 2001.00218, section 5).
- PGD: the loss at the worst inputs that signed gradient steps find in a ball (Madry et al. 2018, arXiv 1706.06083).
- stability: - tanh(1 + l u) summed over the units, with interval bounds l, u of the pre-activations over a ball around
  each input (Xiao et al. 2019, arXiv 1809.03008, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from tasks import Task
from torch import Tensor, nn

from eqverify.export.onnx import round_to
from eqverify.network import Affine, Dense, Network, Node, Port, Relu, Term

MOMENTUM = 0.9
PGD_STEPS = 5
STABILITY_RADIUS = 0.1
"""Radius of the ball for the bounds, as a share of the width of the input box."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train.

    Attributes:
        l1: strength of the L1 penalty on the weights.
        pgd: radius of the adversary, as a share of the width of the input box; 0 for none.
        stability: strength of the ReLU-stability loss.
        epochs: passes over the data.
        batch: inputs per step.
        rate: step size of gradient descent with momentum; falls linearly to zero.
        seed: of weights and order.
    """

    l1: float = 0.0
    pgd: float = 0.0
    stability: float = 0.0
    epochs: int = 60
    batch: int = 64
    rate: float = 0.05
    seed: int = 0


def train(task: Task, recipe: Recipe) -> Network:
    """A chain of dense layers, weights of type float32."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    inputs, targets = (torch.as_tensor(np.asarray(a)) for a in task.train)
    inputs, targets = inputs.float(), targets.long() if task.classify else targets.float()
    widths = (inputs.shape[1], *task.hidden, task.outputs)
    layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    loss_of = nn.CrossEntropyLoss() if task.classify else nn.MSELoss()
    optimiser = torch.optim.SGD(layers.parameters(), lr=recipe.rate, momentum=MOMENTUM)
    steps = recipe.epochs * -(-len(inputs) // recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1.0 - step / steps))
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(inputs)).split(recipe.batch):
            x, y = inputs[chosen], targets[chosen]
            if recipe.pgd:
                x = _worst(layers, loss_of, x, y, recipe.pgd * (task.upper - task.lower), task)
            loss = loss_of(_forward(layers, x), y)
            if recipe.stability:
                radius = STABILITY_RADIUS * (task.upper - task.lower)
                loss = loss + recipe.stability * _instability(layers, inputs[chosen], radius, task)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            _shrink(layers, recipe.l1 * schedule.get_last_lr()[0] / (1 - MOMENTUM))
    return _network(layers)


def _forward(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers[:-1]:
        x = torch.relu(layer(x))
    return layers[-1](x)


def _worst(layers: nn.ModuleList, loss_of: nn.Module, x: Tensor, y: Tensor, radius: float, task: Task) -> Tensor:
    moved = x + radius * (2 * torch.rand_like(x) - 1)
    for _ in range(PGD_STEPS):
        moved = moved.detach().requires_grad_()
        gradient = torch.autograd.grad(loss_of(_forward(layers, moved), y), moved)[0]
        moved = moved.detach() + 2.5 / PGD_STEPS * radius * gradient.sign()
        moved = torch.clamp(torch.min(torch.max(moved, x - radius), x + radius), task.lower, task.upper)
    return moved.detach()


def _instability(layers: nn.ModuleList, x: Tensor, radius: float, task: Task) -> Tensor:
    low, high = (torch.clamp(x + sign * radius, task.lower, task.upper) for sign in (-1, 1))
    total = torch.zeros(())
    for layer in layers[:-1]:
        centre, spread = (low + high) / 2, (high - low) / 2
        middle, width = layer(centre), nn.functional.linear(spread, layer.weight.abs())
        low, high = middle - width, middle + width
        total = total - torch.tanh(1 + low * high).sum(dim=1).mean()
        low, high = torch.relu(low), torch.relu(high)
    return total


def _shrink(layers: nn.ModuleList, amount: float) -> None:
    if not amount:
        return
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(layer.weight.sign() * torch.clamp(layer.weight.abs() - amount, min=0.0))


def _network(layers: nn.ModuleList) -> Network:
    nodes: list[Node] = []
    source = "X"
    for number, layer in enumerate(layers, start=1):
        weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
        nodes.append(Affine(f"z{number}", (Term(source, Dense(weight)),), bias))
        source = f"z{number}"
        if number < len(layers):
            nodes.append(Relu(f"h{number}", source))
            source = f"h{number}"
    inputs, outputs = layers[0].in_features, layers[-1].out_features
    return round_to(
        Network((Port("X", (1, inputs), "float32", "X"),), tuple(nodes), (Port("Y", (1, outputs), "float32", source),)),
        "float32",
    )
