"""Why is this unit still there?  And why is that one not?"""

from __future__ import annotations

from collections import Counter

from eqverify.numerals import at_least, at_most
from eqverify.stability.facts import NOT_REACHED, Facts, LayerFacts, Status
from eqverify.transform.result import Transformed


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
    tried = ", ".join(dict.fromkeys(s.name for s in facts.stages if s.note != NOT_REACHED)) or "nothing"
    declined: dict[tuple[str, int], list[str]] = {}
    for place in transformed.declined:
        for unit in place.units:
            declined.setdefault((place.layer, unit), []).append(f"{place.rewrite}: {place.reason}")
    layers = facts.by_name()
    for unit_map in transformed.unit_maps.values():
        for name, unit in unit_map.pairs():
            reasons = "; ".join([_why(layers[name], unit, tried), *declined.get((name, unit), [])])
            bounds = f"z in [{at_least(layers[name].lower[unit], 6)}, {at_most(layers[name].upper[unit], 6)}]"
            status = Status(int(layers[name].status[unit])).name.lower()
            lines.append(f"{name}[{unit}] {status}, {bounds}; {reasons}")
        if len(unit_map.carriers):
            passed = unit_map.groups[-1].source
            lines.append(f"{passed} {len(unit_map.carriers)} carriers of linear values that later layers need")
    went = Counter(unit.what for unit in transformed.removed)
    lines += [f"went as {what}: {count} units" for what, count in sorted(went.items())]
    return "\n".join(lines)


def _why(layer: LayerFacts, unit: int, tried: str) -> str:
    status = layer.status[unit]
    if status == Status.UNSTABLE:
        return "inputs of the property show both signs"
    if status == Status.UNDECIDED:
        return f"left open by {tried}"
    return "linear here, and this shape leaves it in place"
