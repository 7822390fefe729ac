"""Drop units that nobody reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eqverify.stability.facts import LayerFacts
from eqverify.transform.base import Fate, Rewritten, register
from eqverify.transform.chain import Chain


@register
@dataclass(frozen=True, slots=True)
class DropDead:
    """Statement R-5: a unit whose outgoing weights are all zero changes nothing and may go; last layers first."""

    name: ClassVar[str] = "drop-dead"
    statement: ClassVar[str] = "R-5"
    rounds: ClassVar[bool] = False

    def __call__(self, chain: Chain, facts: Mapping[str, LayerFacts]) -> Rewritten:
        fates: list[Fate] = []
        for index in reversed(range(len(chain.layers))):
            layer = chain.layers[index]
            weight, bias = chain.reader(index)
            read = (weight != 0).any(axis=0)
            if read.all():
                continue
            if not read.any():
                return Rewritten(*self._constant(chain, index, fates))
            kept = np.flatnonzero(read)
            chain = chain.with_layer(index, layer.select(kept)).with_reader(index, weight[:, kept], bias)
            fates += [Fate(layer.source, int(unit), "dead") for unit in layer.units[~read]]
        return Rewritten(chain, tuple(fates))

    @staticmethod
    def _constant(chain: Chain, index: int, fates: list[Fate]) -> tuple[Chain, tuple[Fate, ...]]:
        """Nothing of layer `index` is read: it and all before it go, and its reader becomes constant in the input."""
        before = chain.layers[: index + 1]
        fates += [Fate(layer.source, int(unit), "dead") for layer in before for unit in layer.units]
        _, bias = chain.reader(index)
        chain = chain.with_reader(index, np.zeros((bias.size, chain.layers[0].weight.shape[1])), bias)
        return Chain(chain.layers[index + 1 :], chain.weight, chain.bias), tuple(fates)
