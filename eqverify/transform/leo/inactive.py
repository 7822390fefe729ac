"""Remove stably inactive units."""

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
class RemoveInactive:
    """Statement R-1: a unit with z <= 0 on the domain shows 0 there and may go with its outgoing weights."""

    name: ClassVar[str] = "remove-inactive"
    statement: ClassVar[str] = "R-1"
    rounds: ClassVar[bool] = False

    def __call__(self, chain: Chain, facts: Mapping[str, LayerFacts]) -> Rewritten:
        fates: list[Fate] = []
        for index in range(len(chain.layers)):
            layer = chain.layers[index]
            source = layer.source
            inactive = facts[source].mask(Status.INACTIVE)[layer.units]
            if not inactive.any() or inactive.all():
                continue
            kept = np.flatnonzero(~inactive)
            weight, bias = chain.reader(index)
            chain = chain.with_layer(index, layer.select(kept)).with_reader(index, weight[:, kept], bias)
            fates += [Fate(source, int(u), "inactive") for u in layer.units[inactive]]
        return Rewritten(chain, tuple(fates))
