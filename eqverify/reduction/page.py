"""The page of one run of `reduce`: layers before and after, where time went, what would remove more, what was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eqverify.reduction.boxes import BoxReductions
from eqverify.reduction.directed import DirectedReduction
from eqverify.reduction.result import Reduction
from eqverify.reduction.summary import Pairs, summary
from eqverify.report.explain import KeptUnit, kept_units
from eqverify.report.page import command_line, layers_html, page, share_bar, table
from eqverify.stability.facts import Status
from eqverify.transform.driver import FLOAT64_HINT

_MOST_UNITS = 2000
"""Kept units that are listed for each network; a page with more is slow to open."""

Sections = list[tuple[str, str]]


def reduction_page(
    result: Reduction | BoxReductions | DirectedReduction, written: str, command: str, seconds: Mapping[str, float]
) -> str:
    """One page of what a run made, with a part for each network.

    Args:
        result: what was made.
        written: the files.
        command: that made it.
        seconds: wall time by stage of the run, with their ``total``.
    """
    sections: Sections = [("Command", command_line(command))]
    if isinstance(result, Reduction):
        sections += _parts(result, written)
    else:
        sections.append(("Networks", _overview(result) + table([], [("written", written)])))
        for name, reduction in zip(_names(result), result.written, strict=True):
            sections += [(f"{name}: {heading}", content) for heading, content in _parts(reduction, "")]
    sections.insert(2, ("Where time went", _times(seconds)))
    return page("eqverify reduce", sections)


def _names(result: BoxReductions | DirectedReduction) -> list[str]:
    if isinstance(result, BoxReductions):
        return [f"Box {number}" for number in range(1, len(result.written) + 1)]
    return [f"Case {d.case + 1}, disjunct {d.index + 1}" for d in result.remaining if d.reduction is not None]


def _overview(result: BoxReductions | DirectedReduction) -> str:
    """A line per box or disjunct."""
    if isinstance(result, BoxReductions):
        return table(["box", "ReLUs", "eps"], [_sizes(n, r) for n, r in enumerate(result.written, 1)])
    rows = [
        [d.case + 1, d.index + 1, d.status, *_sizes(d.evidence or d.how, d.reduction), d.seconds]
        for d in result.disjuncts
    ]
    header = ["case", "disjunct", "status", "by", "ReLUs", "eps", "seconds"]
    return table(header, rows, choose="status")


def _sizes(name: object, reduction: Reduction | None) -> list[object]:
    if reduction is None:
        return [name, "", ""]
    return [name, reduction.network.relu_count, f"{reduction.epsilon!r}"]


def _parts(result: Reduction, written: str) -> Sections:
    """The sections of one network."""
    pairs: Pairs = [(name, value) for name, value in summary(result, written) if value != ""]
    before, after = result.problem.relu_count, result.network.relu_count
    units = kept_units(result.facts, result.transformed)
    return [
        ("Result", table([], pairs)),
        ("Layers before and after", layers_html(result.layers, f"{before} ReLUs before, {after} after")),
        ("The proof, stage by stage", _stages(result)),
        ("What would remove more units", _more(result, units)),
        ("Units that were kept", _units(units)),
    ]


def _times(seconds: Mapping[str, float]) -> str:
    """By stage, the longest first as they are drawn."""
    whole = seconds.get("total") or sum(seconds.values())
    parts = {**{name: took for name, took in seconds.items() if name != "total"}}
    parts["the rest"] = max(whole - sum(parts.values()), 0.0)
    return table(["stage", "seconds", "share"], [(name, took, share_bar(took, whole)) for name, took in parts.items()])


def _stages(result: Reduction) -> str:
    stages = result.facts.stages
    whole = sum(stage.seconds for stage in stages)
    rows = [(s.name, s.seconds, share_bar(s.seconds, whole), s.decided, s.stable, s.questions, s.note) for s in stages]
    return table(["stage", "seconds", "share", "decided", "stable", "questions", "note"], rows)


def _more(result: Reduction, units: Sequence[KeptUnit]) -> str:
    """Why units are still there, how many for each reason, and what would change that."""
    kept = {status: sum(unit.status == status for unit in units) for status in Status}
    linear = kept[Status.ACTIVE] + kept[Status.INACTIVE]
    carriers = sum(len(unit_map.carriers) for unit_map in result.transformed.unit_maps.values())
    claimed = result.facts.claimed
    ended = ", ".join(f"{stage.name}: {stage.note}" for stage in result.facts.stages if stage.note)
    rows = [
        (
            kept[Status.UNSTABLE],
            "inputs show both signs",
            "fewer inputs: --radius with --around, --per-box, --for-property",
        ),
        (
            kept[Status.UNDECIDED],
            "no sign proved, none excluded",
            f"more time: --time-limit, --unit-time-limit; {ended}",
        ),
        (claimed, "of these, a solver claims a sign", "more time for a proof, or its word: --trust scip"),
        (linear, "linear here, left in place by this shape", "another shape: --shape sequential, or residual"),
        (carriers, "carry linear values past layers", "skip connections instead: --shape residual"),
    ]
    if result.transformed.wants_float64:
        rows.append((linear, "kept for the sake of eps", FLOAT64_HINT))
    told = [(count, why, what.removesuffix("; ")) for count, why, what in rows if count]
    return table(["units", "why they are there", "what would remove them"], told) if told else "<p>No unit is left.</p>"


def _units(units: Sequence[KeptUnit]) -> str:
    rows = [
        (unit.layer, unit.unit, unit.status.name.lower(), unit.lower, unit.upper, unit.why)
        for unit in units[:_MOST_UNITS]
    ]
    more = len(units) - len(rows)
    rest = f"<p>{more} more are not listed here; <code>reduce --explain</code> lists all.</p>" if more else ""
    return table(["layer", "unit", "status", "z at least", "z at most", "why"], rows, choose="status") + rest
