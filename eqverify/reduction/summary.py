"""What a reduction came to, as names and values: what the terminal and the page of a run say of it."""

from __future__ import annotations

from eqverify.numerals import at_most
from eqverify.reduction.result import Reduction
from eqverify.report.explain import evidence_words

Pairs = list[tuple[str, object]]


def summary(result: Reduction, output: object) -> Pairs:
    """Sizes, what is proved and by which evidence, what was compared; in the order in which it is told.

    Args:
        result: what was made.
        output: the files that were written for it.
    """
    before, after = result.problem.relu_count, result.network.relu_count
    share = f" ({100 * (before - after) / before:.1f} % removed)" if before else ""
    old, new = result.problem.parameter_count, result.network.parameter_count
    grown = (
        "   more than before: --shape structured adds none"
        if new > old and result.transformed.shape != "structured"
        else ""
    )
    pairs: Pairs = [
        ("ReLUs", f"{before} -> {after}{share}"),
        ("weights", f"{old} -> {new}{grown}"),
        ("shape", result.transformed.choice),
        ("eps", f"{at_most(result.epsilon)}   proved: {_claim(result)}"),
        ("eps float32", _runs(result)),
        ("evidence", evidence_words(result.facts)),
        ("read", result.problem.reading),
    ]
    if not result.transformed.handed_on:
        agree = f"{result.runtime.points} points agree, up to rounding by {result.runtime.largest_deviation:.2g}"
        pairs.append(("onnxruntime", agree))
    if result.witness is not None:
        pairs.append(("settled", f"an input satisfies the output condition: {result.witness.tolist()}"))
    if result.problem.tail is not None:
        operators = ", ".join(result.problem.tail.operators)
        pairs.append(("opaque", f"{operators}: copied unchanged; eps says nothing of what they make of a deviation"))
    pairs += _cross_check(result)
    if result.certificate is not None:
        pairs.append(("checker", str(result.certificate.verdict)))
    rounding = [d for d in result.transformed.declined if d.rewrite == "rounding"]
    pairs += [("left alone", f"{len(d.units)} active units of {d.layer}: {d.reason}") for d in rounding]
    pairs.append(("written", output))
    return pairs


def _cross_check(result: Reduction) -> Pairs:
    """What Z3 or the equivalence portfolio said, where one was asked."""
    if result.cross_check is None:
        return []
    reason = f" ({result.cross_check.reason})" if result.cross_check.reason else ""
    within = getattr(result.cross_check, "epsilon", None)
    proved = "" if within is None else f", {at_most(within)} proved"
    claim = result.confirmation == "claimed"
    said = "Z3 found no difference beyond eps (a claim)" if claim else result.cross_check.verdict
    return [("cross-check", f"{said}{proved}{reason}")]


def _claim(result: Reduction) -> str:
    """What eps is about."""
    if result.problem.tail is None:
        return "|original - reduced| <= eps on every input of the property"
    return "what is read at the cut differs by at most eps on every input; the outputs behind it are not bounded"


def _runs(result: Reduction) -> str:
    """What is proved of float32 runs."""
    if result.epsilon_float32 is None:
        return f"not bounded: {result.runs[1]}"
    where = "" if result.problem.tail is None else " of what is read at the cut"
    return f"{at_most(result.epsilon_float32)}   proved: |run of original - run of reduced|{where} (specs/runtime.md)"
