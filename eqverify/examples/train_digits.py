"""Trains the shipped example: a ReLU network that reads the 8x8 digits of scikit-learn.

Run as ``python -m eqverify.examples.train_digits OUT.onnx``.  Needs scikit-learn for the data; the training is numpy.

L1 regularisation by soft thresholding makes most weights exactly zero.  That is how a network becomes reducible (Serra,
Kumar, Ramalingam 2020, arXiv 2001.00218, section 5): units with few inputs keep one sign on a small domain.  The second
layer is wider than the first, so that its active units outnumber the dimensions they can span.

Equal seeds give equal networks on one machine; another order of summation in matrix products may change last digits.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.export.onnx import round_to, write_network
from eqverify.files import atomic_write
from eqverify.network import Affine, Dense, Network, Node, Port, Relu, Term, evaluate

CLASSES = 10
PIXELS = 64
OPSET = 13
TEST_SHARE = 5
"""Every fifth image is for testing."""


@dataclass(frozen=True, slots=True)
class Training:
    """Options of the training.

    Attributes:
        hidden: widths of the ReLU layers.
        epochs: passes over the data.
        batch: images per step.
        rate: Adam's step size; falls linearly to zero.
        l1: strength of the L1 penalty on weights, applied by soft thresholding after each step.
        seed: of the initial weights and of the order of images.
    """

    hidden: tuple[int, ...] = (32, 48, 24, 16)
    epochs: int = 150
    batch: int = 32
    rate: float = 4e-3
    l1: float = 0.12
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Images, (n, 64) in [0, 1] by steps of 1/16, row by row, and what they show, (n,)."""

    images: FloatArray
    labels: IntArray

    def accuracy(self, network: Network) -> float:
        """Share of the images that a network reads rightly."""
        return float((evaluate(network, self.images).argmax(axis=1) == self.labels).mean())


def digits_split() -> tuple[Digits, Digits]:
    """Scikit-learn's digits (1797 images), split into training and test images by position."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    test = np.arange(len(labels)) % TEST_SHARE == 0
    data = images / 16.0, labels.astype(np.int64)
    return Digits(data[0][~test], data[1][~test]), Digits(data[0][test], data[1][test])


def train(data: Digits, options: Training | None = None) -> Network:
    """Train a network with Adam, cross entropy and L1 soft thresholding.

    Args:
        data: training images.
        options: widths, length and strengths.

    Returns:
        A chain of dense layers with weights of type float32, input ``image`` [1, 64], output ``logits`` [1, 10].
    """
    options = options or Training()
    random = np.random.default_rng(options.seed)
    weights = _initial_weights(random, (PIXELS, *options.hidden, CLASSES))
    optimiser = _Adam(weights)
    steps_per_epoch = -(-len(data.labels) // options.batch)
    total = options.epochs * steps_per_epoch
    for epoch in range(options.epochs):
        order = random.permutation(len(data.labels))
        for number in range(steps_per_epoch):
            chosen = order[number * options.batch : (number + 1) * options.batch]
            rate = options.rate * (1.0 - (epoch * steps_per_epoch + number) / total)
            optimiser.step(_gradients(weights, data.images[chosen], data.labels[chosen]), rate)
            _shrink(weights, rate * options.l1)
    return _network(weights)


def _initial_weights(random: np.random.Generator, widths: tuple[int, ...]) -> list[FloatArray]:
    """Weight and bias in turn, layer by layer: (out, in) by He's rule, and zeros (out,)."""
    arrays: list[FloatArray] = []
    for before, after in pairwise(widths):
        arrays += [random.normal(0.0, np.sqrt(2.0 / before), (after, before)), np.zeros(after)]
    return arrays


def _gradients(weights: list[FloatArray], images: FloatArray, labels: IntArray) -> list[FloatArray]:
    """Gradients of the mean cross entropy, in the order of `weights`."""
    values = [images]
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        values.append(np.maximum(values[-1] @ weight.T + bias, 0.0))
    logits = values[-1] @ weights[-2].T + weights[-1]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = shares / shares.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1.0
    error /= len(labels)
    gradients: list[FloatArray] = []
    for weight, value in zip(weights[-2::-2], values[::-1], strict=True):
        gradients = [error.T @ value, error.sum(axis=0), *gradients]
        error = (error @ weight) * (value > 0)
    return gradients


def _shrink(weights: list[FloatArray], amount: float) -> None:
    """Move every weight (no bias) towards zero, and stop there: the proximal step of the L1 norm."""
    for weight in weights[::2]:
        weight[:] = np.sign(weight) * np.maximum(np.abs(weight) - amount, 0.0)


class _Adam:
    """Adam (Kingma & Ba 2015, algorithm 1) with its usual constants, on arrays changed in place."""

    def __init__(self, weights: list[FloatArray]) -> None:
        self._weights = weights
        self._mean = [np.zeros_like(w) for w in weights]
        self._square = [np.zeros_like(w) for w in weights]
        self._count = 0

    def step(self, gradients: list[FloatArray], rate: float) -> None:
        """One step against the gradients."""
        self._count += 1
        for weight, mean, square, gradient in zip(self._weights, self._mean, self._square, gradients, strict=True):
            mean[:] = 0.9 * mean + 0.1 * gradient
            square[:] = 0.999 * square + 0.001 * gradient**2
            scale = np.sqrt(square / (1.0 - 0.999**self._count)) + 1e-8
            np.subtract(weight, rate * mean / (1.0 - 0.9**self._count) / scale, out=weight)


def _network(weights: list[FloatArray]) -> Network:
    nodes: list[Node] = []
    source = "image"
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    for number, (weight, bias) in enumerate(layers, start=1):
        name = "logits" if number == len(layers) else f"z{number}"
        nodes.append(Affine(name, (Term(source, Dense(weight)),), bias))
        source = name
        if number < len(layers):
            nodes.append(Relu(f"h{number}", name))
            source = f"h{number}"
    inputs = (Port("image", (1, PIXELS), "float32", "image"),)
    outputs = (Port("logits", (1, CLASSES), "float32", "logits"),)
    return round_to(Network(inputs, tuple(nodes), outputs), "float32")


def main() -> None:
    """Train, write the ONNX file, print its accuracy on the test images."""
    parser = argparse.ArgumentParser(description="Train the shipped digits network.")
    parser.add_argument("output", help="the .onnx file to write")
    parser.add_argument("--epochs", type=int, default=Training().epochs)
    parser.add_argument("--seed", type=int, default=Training().seed)
    parser.add_argument("--l1", type=float, default=Training().l1)
    arguments = parser.parse_args()
    training, test = digits_split()
    network = train(training, Training(epochs=arguments.epochs, seed=arguments.seed, l1=arguments.l1))
    producer = "eqverify.examples.train_digits"
    atomic_write(arguments.output, write_network(network, metadata={}, producer=producer, opset=OPSET))
    print(f"{arguments.output}: accuracy {test.accuracy(network):.4f} on {len(test.labels)} test images")


if __name__ == "__main__":
    main()
