"""Collapse a network that is constant on the domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eqverify.stability.facts import LayerFacts, Status
from eqverify.transform.base import Fate, Rewritten, register
from eqverify.transform.chain import Chain


@register
@dataclass(frozen=True, slots=True)
class CollapseConstant:
    """Statement R-4: where all units of a layer are stably inactive, everything after it is constant on the domain."""

    name: ClassVar[str] = "collapse-constant"
    statement: ClassVar[str] = "R-4"
    rounds: ClassVar[bool] = False

    def __call__(self, chain: Chain, facts: Mapping[str, LayerFacts]) -> Rewritten:
        for index, layer in enumerate(chain.layers):
            if facts[layer.source].mask(Status.INACTIVE)[layer.units].all():
                return self._collapse(chain, index)
        return Rewritten(chain)

    @staticmethod
    def _collapse(chain: Chain, index: int) -> Rewritten:
        value = np.zeros(chain.layers[index].size)
        for later in range(index, len(chain.layers)):
            weight, bias = chain.reader(later)
            value = weight @ value + bias
            if later + 1 < len(chain.layers):
                value = np.maximum(value, 0.0)
        width = chain.layers[0].weight.shape[1]
        fates = [
            Fate(layer.source, int(unit), "inactive" if place == index else "constant")
            for place, layer in enumerate(chain.layers)
            for unit in layer.units
        ]
        return Rewritten(Chain((), np.zeros((value.size, width)), value), tuple(fates))
