"""Fold layers whose units are all stably active."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from eqverify.stability.facts import LayerFacts, Status
from eqverify.transform.base import Fate, Rewritten, register
from eqverify.transform.chain import Chain


@register
@dataclass(frozen=True, slots=True)
class FoldStable:
    """Statement R-3: where all units of a layer have z >= 0 on the domain, the layer is affine and joins its reader."""

    name: ClassVar[str] = "fold-stable"
    statement: ClassVar[str] = "R-3"
    rounds: ClassVar[bool] = True

    def __call__(self, chain: Chain, facts: Mapping[str, LayerFacts]) -> Rewritten:
        fates: list[Fate] = []
        for index in reversed(range(len(chain.layers))):
            layer = chain.layers[index]
            source = layer.source
            if not facts[source].mask(Status.ACTIVE)[layer.units].all():
                continue
            weight, bias = chain.reader(index)
            chain = chain.with_reader(index, weight @ layer.weight, bias + weight @ layer.bias).without_layer(index)
            fates += [Fate(source, int(unit), "folded") for unit in layer.units]
        return Rewritten(chain, tuple(fates))
