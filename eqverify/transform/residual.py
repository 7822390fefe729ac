"""The residual shape: a form as it is, with skip connections; the fewest ReLUs of all shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.network import Affine, Dense, Network, Node, Port, Relu, Term
from eqverify.transform.realise import Element, Names, input_terms, round_weights
from eqverify.transform.reduced_form import ReducedForm, union
from eqverify.transform.unit_map import Meaning


def residual_network(form: ReducedForm, original: Network, element: Element) -> tuple[Network, Mapping[str, Meaning]]:
    """A form as a network whose layers read the input and any earlier layer.

    Args:
        form: rows of units and outputs; each tier becomes a layer.
        original: gives names, shapes and order of inputs and outputs.
        element: type to which weights are rounded, to nearest.

    Returns:
        The network, whose affine nodes have one dense term per layer that they read, and by ReLU node of it what its
        units stand for.

    Raises:
        InputError: `transform/overflow` where a weight exceeds the range of the type.
    """
    names = Names(original)
    nodes: list[Node] = []
    meanings: dict[str, Meaning] = {}
    shown: list[str] = []

    def affine(name: str, rows: FloatArray) -> Affine:
        terms = [
            Term(source, Dense(round_weights(rows[:, tier.columns], name, element)))
            for source, tier in zip(shown, form.tiers[: len(shown)], strict=True)
            if rows[:, tier.columns].any()
        ]
        terms.reverse()
        inputs = round_weights(rows[:, : original.input_size], name, element)
        terms += [term for term in input_terms(inputs, original) if term.map.dense().any()]
        return Affine(name, tuple(terms), round_weights(rows[:, original.input_size], name, element))

    for index, tier in enumerate(form.tiers):
        z, h = names.fresh(f"z{index + 1}"), names.fresh(f"h{index + 1}")
        nodes += [affine(z, tier.rows), Relu(h, z)]
        meanings[h] = Meaning(tier.groups)
        shown.append(h)
    outputs, start = [], 0
    for port in original.outputs:
        name = names.fresh(f"affine_{port.name}")
        nodes.append(affine(name, form.outputs[start : start + port.size]))
        outputs.append(Port(port.name, port.shape, port.element, name))
        start += port.size
    return Network(original.inputs, tuple(nodes), tuple(outputs)), meanings


def earliest_tiers(form: ReducedForm) -> ReducedForm:
    """The same units, each in the first tier after all that it reads: the fewest layers that there can be."""
    depth = np.zeros(form.basis.width, dtype=np.int64)
    for tier in form.tiers:
        depth[tier.columns] = 1 + np.max(np.where(tier.rows != 0, depth, 0), axis=1, initial=0)
    tiers = []
    for level in range(1, int(depth.max(initial=0)) + 1):
        parts = [tier.select(np.flatnonzero(depth[tier.columns] == level)) for tier in form.tiers]
        tiers.append(union([part for part in parts if part.size]))
    return form.with_tiers(tiers)
