"""Why is this unit still there?  And why is that one not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from eqverify.numerals import at_least, at_most
from eqverify.stability.facts import NOT_REACHED, Facts, LayerFacts, Status
from eqverify.transform.result import Transformed
from eqverify.transform.unit_map import UnitMap


@dataclass(frozen=True, slots=True)
class KeptUnit:
    """A unit of the original that the reduced network shows.

    Attributes:
        layer: its ReLU node.
        unit: its number there.
        status: what is known of its sign.
        lower: the tightest bound known of its pre-activation z, to six digits, rounded outwards.
        upper: likewise.
        why: what left it there, and which rewrites declined it.
    """

    layer: str
    unit: int
    status: Status
    lower: str
    upper: str
    why: str


def kept_units(facts: Facts, transformed: Transformed) -> list[KeptUnit]:
    """The units that are still there, by layer; carriers stand for none.

    Args:
        facts: about the original.
        transformed: the reduced network and what rewrites declined.
    """
    return [unit for unit_map in transformed.unit_maps.values() for unit in _shown(unit_map, facts, transformed)]


def explain(facts: Facts, transformed: Transformed) -> str:
    """What was tried, then a line per kept unit with the tightest bounds known and what left it there.

    Args:
        facts: about the original.
        transformed: the reduced network and what rewrites declined.

    Returns:
        Lines of text: choice of the shape, stages, units by layer, carriers, and how many units went by which rewrite.
    """
    lines = [f"shape: {transformed.choice}"]
    for stage in facts.stages:
        questions = f", {stage.questions} questions" if stage.questions else ""
        note = f"; {stage.note}" if stage.note else ""
        if stage.note == NOT_REACHED:
            lines.append(f"next {stage.name}: {stage.note}")
        else:
            lines.append(f"tried {stage.name}: {stage.seconds:.2f} s, decided {stage.decided} units{questions}{note}")
    for unit_map in transformed.unit_maps.values():
        for kept in _shown(unit_map, facts, transformed):
            status = kept.status.name.lower()
            lines.append(f"{kept.layer}[{kept.unit}] {status}, z in [{kept.lower}, {kept.upper}]; {kept.why}")
        if len(unit_map.carriers):
            passed = unit_map.groups[-1].source
            lines.append(f"{passed} {len(unit_map.carriers)} carriers of linear values that later layers need")
    went = Counter(unit.what for unit in transformed.removed)
    lines += [f"went as {what}: {count} units" for what, count in sorted(went.items())]
    return "\n".join(lines)


def evidence_words(facts: Facts) -> str:
    """How many stable units rest on which kind of evidence, what is only claimed, and who is trusted."""
    counts = facts.evidence_counts()
    dual = f", {counts['dual']} by optimised slopes" if counts["dual"] else ""
    tree = f", {counts['tree']} by splitting inputs or signs" if counts["tree"] else ""
    solver = f", {counts['solver']} on the word of {facts.solver}" if counts["solver"] else ""
    claimed = f"; {facts.claimed} more claimed by {facts.solver}, not proved and kept" if facts.claimed else ""
    trusted = f"; trusted without a proof: {', '.join(sorted(facts.trust))}" if facts.trust else ""
    return f"{counts['derived']} stable units by recomputable bounds{dual}{tree}{solver}{claimed}{trusted}"


def _shown(unit_map: UnitMap, facts: Facts, transformed: Transformed) -> Iterator[KeptUnit]:
    """The units that a layer of the reduced network shows."""
    tried = ", ".join(dict.fromkeys(s.name for s in facts.stages if s.note != NOT_REACHED)) or "nothing"
    declined: dict[tuple[str, int], list[str]] = {}
    for place in transformed.declined:
        for unit in place.units:
            declined.setdefault((place.layer, unit), []).append(f"{place.rewrite}: {place.reason}")
    layers = facts.by_name()
    for name, unit in unit_map.pairs():
        layer = layers[name]
        reasons = "; ".join([_why(layer, unit, tried), *declined.get((name, unit), [])])
        bounds = at_least(layer.lower[unit], 6), at_most(layer.upper[unit], 6)
        yield KeptUnit(name, unit, Status(int(layer.status[unit])), *bounds, reasons)


def _why(layer: LayerFacts, unit: int, tried: str) -> str:
    status = layer.status[unit]
    if status == Status.UNSTABLE:
        return "inputs of the property show both signs"
    if status == Status.UNDECIDED:
        return f"left open by {tried}"
    return "linear here, and this shape leaves it in place"
