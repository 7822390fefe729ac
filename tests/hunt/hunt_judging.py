"""What the exact oracle says about the answers of a case, from nothing but the files in its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from .hunt_interpreter import read_function
from .hunt_oracle import (
    Atom,
    Cell,
    Form,
    Function,
    LeftOutError,
    beside,
    cells,
    deviation,
    extremes,
    fmpq,
    fraction,
    rational,
    satisfied_somewhere,
)
from .hunt_property import Property, holds, read_property, start
from .hunt_running import Ran
from .hunt_sampled import is_sampled, judge_epsilons, judge_points, judge_ranges
from .hunt_texts import decimal


@dataclass(slots=True)
class Judgement:
    """What was answered, what is right, and what is wrong with the answer."""

    outcome: str = "nothing"
    expected: str = ""
    got: str = ""
    faults: list[str] = field(default_factory=list)


def judged(folder: Path, runs: Sequence[Ran]) -> Judgement:
    """The judgement of all commands of a case, one after the other.

    Raises:
        LeftOutError: the oracle cannot tell.
    """
    found = Judgement()
    for ran in runs:
        found.faults += ran.faults()
        found.got += f"{' '.join(ran.command)}\n  status {ran.status}\n{ran.out}{ran.err}"
        found.outcome = ran.code() or f"status {ran.status}"
        judge = (SAMPLED if is_sampled(folder) else JUDGES).get(ran.command[0])
        if judge is not None and not ran.code() and (ran.out or ran.status == 1):
            judge(folder, ran, found)
    return found


def shown(value: Fraction) -> str:
    """About this number, which may be beyond floats."""
    return decimal(value, 17)


def option(ran: Ran, name: str, default: str = "") -> str:
    return ran.command[ran.command.index(name) + 1] if name in ran.command else default


def question(folder: Path, query: str) -> Property:
    return read_property((folder / query).read_text("utf-8"))


def closed_cells(query: Property) -> list[Cell]:
    """The inputs of each disjunct, strict signs as if they were not."""
    found = [start(atoms, query.inputs)[0] for atoms in query.domain()]
    return [cell for cell in found if cell]


def nonempty_strictly(query: Property) -> bool:
    """Whether some input satisfies what is said about inputs, strict signs included, in every disjunct or in none."""
    answers = set()
    for atoms in query.domain():
        cell, _ = start(atoms, query.inputs)
        answers.add(satisfied_somewhere(cell, atoms, 2 * query.inputs) if cell else None)
    return answers <= {True}


def satisfiable(query: Property, function: Function) -> bool:
    """Whether an input satisfies the query, strict signs included, over the reals."""
    for atoms, plain in zip(query.over(function), query.disjuncts, strict=True):
        own = [a for a in plain if all(v >= 0 for v in a.form.terms)]
        cell, _ = start(own, query.inputs)
        if cell and any(satisfied_somewhere(part, atoms, 2 * query.inputs) for part, _ in cells(function, cell)):
            return True
    return False


def satisfies(query: Property, function: Function, point: Sequence[fmpq]) -> bool:
    values = function.values(point)
    return any(all(holds(a, a.form.at(values)) for a in atoms) for atoms in query.over(function))


def judge_stability(folder: Path, ran: Ran, found: Judgement) -> None:
    """Each status and each bound against the exact range of z; unstable ones on the box that is rounded outwards."""
    function, relus = read_function(folder / ran.command[1])
    query = question(folder, ran.command[2])
    answer = ran.json()
    ranges = None
    for layer in (answer or {}).get("layers", []):
        forms = relus.get(layer["name"])
        if forms is None or not closed_cells(query):
            continue
        inner = joined([extremes(function, cell, forms) for cell in closed_cells(query)])
        outer = wide_ranges(function, query, forms)
        ranges = [(shown(fraction(a)), shown(fraction(b))) for a, b in inner]
        for k, status in enumerate(layer["status"]):
            (low, high), (wide_low, wide_high) = inner[k], outer[k]
            wrong = (
                (status == "inactive" and high > 0)
                or (status == "active" and low < 0)
                or (status == "unstable" and not (wide_low < 0 < wide_high))
                or below(low, layer["lower"][k])
                or above(high, layer["upper"][k])
            )
            if wrong:
                bounds = f"[{layer['lower'][k]}, {layer['upper'][k]}]"
                found.faults.append(
                    f"stability {option_engine(ran)}: {layer['name']} {k}: {status} {bounds}, exact {ranges[k]}"
                )
    found.outcome = "units" if answer else found.outcome


def option_engine(ran: Ran) -> str:
    return ran.command[3]


def below(low: fmpq, text: str) -> bool:
    """Whether a lower bound is wrong."""
    bound = float(text)
    return bound == math.inf or math.isnan(bound) or (bound > -math.inf and low < rational(bound))


def above(high: fmpq, text: str) -> bool:
    return below(-high, repr(-float(text)))


def joined(ranges: list[list[tuple[fmpq, fmpq]]]) -> list[tuple[fmpq, fmpq]]:
    return [(min(low for low, _ in unit), max(high for _, high in unit)) for unit in zip(*ranges, strict=True)]


def rounded_cells(query: Property) -> list[Cell]:
    """As `closed_cells`, with the bounds of boxes rounded outwards to floats."""
    found = []
    for atoms in query.domain():
        wide = [Atom(rounded(a.form)) if len(a.form.terms) == 1 else a for a in atoms]
        found.append(start(wide, query.inputs)[0])
    return [cell for cell in found if cell]


def rounded(form: Form) -> Form:
    ((v, c),) = form.terms.items()
    end = fraction(-form.constant / c)
    near = float(end)
    if c > 0 and Fraction(near) < end:
        near = math.nextafter(near, math.inf)
    if c < 0 and Fraction(near) > end:
        near = math.nextafter(near, -math.inf)
    unit = fmpq(1 if c > 0 else -1)
    return Form({v: unit}, -unit * rational(near))


def wide_ranges(function: Function, query: Property, forms: Sequence[Form]) -> list[tuple[fmpq, fmpq]]:
    """Ranges on the boxes that are rounded outwards; all numbers, where rounding frees too many inputs."""
    try:
        return joined([extremes(function, cell, forms) for cell in rounded_cells(query)])
    except LeftOutError:
        return [(fmpq(-1), fmpq(1)) for _ in forms]


def judge_counts(folder: Path, ran: Ran, found: Judgement) -> None:
    """The counts of `stability` and `reduce` per layer: no more stable or unstable units than there are."""
    answer = ran.json()
    if answer is None or "layers" not in answer:
        return
    function, relus = read_function(folder / ran.command[1])
    query = question(folder, ran.command[2])
    found.outcome = "units"
    if not closed_cells(query):
        return
    for layer in answer["layers"]:
        forms = relus.get(layer["name"])
        if forms is None:
            continue
        inner = joined([extremes(function, cell, forms) for cell in closed_cells(query)])
        outer = wide_ranges(function, query, forms)
        most = {
            "inactive": sum(high <= 0 for _, high in inner),
            "active": sum(low >= 0 for low, _ in inner),
            "unstable": sum(low < 0 < high for low, high in outer),
        }
        found.faults += [
            f"{ran.command[0]}: {layer['name']}: {layer[n]} {n}, at most {m}" for n, m in most.items() if layer[n] > m
        ]


def judge_reduce(folder: Path, ran: Ran, found: Judgement) -> None:
    """The printed eps against the exact deviation of the written file, and the relaxed property against its meaning."""
    if ran.status == 1 and "--cross-check" in ran.command:
        found.faults.append(f"reduce: refuted by its own cross-check: {' '.join(ran.err.split())[:200]}")
    if ran.status != 0:
        return
    told = ran.json() or {}
    if sum(layer["units"] for layer in told.get("layers", ())) == told.get("relus_before"):
        judge_counts(folder, ran, found)  # else layers are those that normalising left, under the names of others
    query = question(folder, ran.command[2])
    if "--for-property" in ran.command:
        judge_directed(folder, ran, query, found)
        return
    original, reduced = (read_function(folder / name)[0] for name in (ran.command[1], option(ran, "-o")))
    exact = [max(d) for d in zip(*(deviation(original, reduced, c) for c in closed_cells(query)), strict=True)]
    printed = printed_epsilons(ran, len(exact))
    found.outcome = "eps = 0" if not any(printed) else "eps > 0"
    found.expected = f"deviation {[shown(fraction(d)) for d in exact]}"
    for k, (true, said) in enumerate(zip(exact, printed, strict=False)):
        if fraction(true) > said:
            found.faults.append(
                f"reduce: eps {shown(said)} of output {k}, but the deviation is {shown(fraction(true))}"
            )
    relaxed = option(ran, "--property-out")
    kept = not (relaxed and (folder / relaxed).exists()) or satisfiable(question(folder, relaxed), reduced)
    if not kept and satisfiable(query, original):
        found.faults.append("reduce --property-out: unsat for the reduced network, sat for the original")


def printed_epsilons(ran: Ran, outputs: int) -> list[Fraction]:
    """The numbers that were printed: one for each output as JSON, one for all as text."""
    answer = ran.json()
    if answer is not None:
        return [Fraction(value) for value in answer["epsilons"]]
    line = next(line for line in ran.out.splitlines() if line.startswith("eps "))
    return [Fraction(line.split()[1])] * outputs


def judge_directed(folder: Path, ran: Ran, query: Property, found: Judgement) -> None:
    """The verdict; where it is open, some relaxed property of the networks for its disjuncts keeps a solution."""
    said = (ran.json() or {}).get("verdict", "")
    right = "sat" if satisfiable(query, read_function(folder / ran.command[1])[0]) else "unsat"
    found.outcome, found.expected = said, right
    if said in ("sat", "unsat") and said != right:
        found.faults.append(f"reduce --for-property: {said}, but it is {right}")
    parts = [
        (p, folder / p.name.replace("out", "relaxed").replace(".onnx", ".vnnlib")) for p in folder.glob("out*.onnx")
    ]
    if said != "open" or right != "sat" or not all(own.exists() for _, own in parts):
        return
    if not any(satisfiable(read_property(own.read_text("utf-8")), read_function(p)[0]) for p, own in parts):
        found.faults.append("reduce --for-property: unsat for each reduced network, sat for the original")


def judge_verify(folder: Path, ran: Ran, found: Judgement) -> None:
    """The verdict against the exact one, and the input of `sat` against the text, in rationals."""
    query = question(folder, ran.command[1])
    function = networks_of(folder, ran, query)
    said, x = verdict_of(ran, query)
    right = "sat" if satisfiable(query, function) else "unsat"
    found.outcome, found.expected = f"{said} ({right})" if said in ("unknown", "timed-out") else said, right
    if said in ("sat", "unsat") and said != right:
        found.faults.append(f"verify {option(ran, '--backend', 'scip')}: {said}, but it is {right}")
    elif said == "sat" and not (x and satisfies(query, function, x)):
        found.faults.append(
            f"verify {option(ran, '--backend', 'scip')}: the input of sat does not satisfy the text: {x}"
        )


def networks_of(folder: Path, ran: Ran, query: Property) -> Function:
    given = [c.partition("=") for b, c in zip(ran.command, ran.command[1:], strict=False) if b == "--network"]
    files = {name: file for name, _, file in given}
    first = query.networks[0]
    function = read_function(folder / files.get(first.name, given[0][2]))[0]
    for network in query.networks[1:]:
        file = files.get(network.name) or files[str(network.equal_to)]
        function = beside(function, read_function(folder / file)[0], shared=False)
    return function


def verdict_of(ran: Ran, query: Property) -> tuple[str, list[fmpq]]:
    """The verdict and the inputs that were printed, over all networks."""
    answer = ran.json()
    if answer is not None:
        values = [] if answer["witness"] is None else answer["witness"]["exact"]["x"]
        return answer["verdict"], [rational(Fraction(v)) for v in values]
    lines = ran.out.splitlines()
    names = {name.partition("[")[0].partition("_")[0] for name, k in query.names.items() if k >= 0}
    values, reading = [], False
    for line in lines[1:]:
        words = line.split()
        if len(words) == 3:
            reading = words[0] in names
        elif reading and words:
            values.append(rational(Fraction(words[0])))
    return (lines[0] if lines else ""), values


def number_of(value: float | str) -> Fraction:
    """A printed number: the float whose shortest text it is, or else exactly what is written."""
    exact = Fraction(value)
    shortest = isinstance(value, float) or (abs(exact) < 10**300 and repr(float(exact)) == value)
    return Fraction(float(value)) if shortest else exact


def judge_equiv(folder: Path, ran: Ran, found: Judgement) -> None:
    """The verdict against the exact deviation, or an exact search for an input with another largest output."""
    answer = ran.json()
    if answer is None:
        return
    f, g = (read_function(folder / name)[0] for name in ran.command[1:3])
    query = question(folder, ran.command[3])
    places = closed_cells(query)
    if not places or not nonempty_strictly(query):
        return
    said = answer["verdict"]
    if "--top1" in ran.command:
        right = "different" if any(top1_differs(f, g, cell) for cell in places) else "equivalent"
    else:
        exact = [fraction(max(d)) for d in zip(*(deviation(f, g, cell) for cell in places), strict=True)]
        epsilon = Fraction(option(ran, "--epsilon"))
        right = "different" if max(exact) > epsilon else "equivalent"
        proved = answer["epsilons"] or []
        for k, (true, bound) in enumerate(zip(exact, proved, strict=False)):
            if math.isfinite(bound) and true > Fraction(bound):
                found.faults.append(f"equiv: {bound!r} proved for output {k}, but the deviation is {shown(true)}")
    found.outcome, found.expected = said if said != "unknown" else f"{said} ({right})", right
    if said != "unknown" and said != right:
        found.faults.append(f"equiv: {said}, but they are {right}")


def top1_differs(f: Function, g: Function, cell: Cell) -> bool:
    """Whether an output i is largest for f, another one j for g, and each strictly ahead of the other."""
    both = beside(f, g, shared=True)
    half = len(f.outputs)
    first, second = both.outputs[:half], both.outputs[half:]
    for part, _ in cells(both, cell):
        for i in range(half):
            for j in range(half):
                atoms = [Atom(first[k] - first[i], k == j) for k in range(half) if k != i]
                atoms += [Atom(second[k] - second[j], k == i) for k in range(half) if k != j]
                if i != j and satisfied_somewhere(part, atoms, 2 * f.inputs):
                    return True
    return False


def judge_regions(folder: Path, ran: Ran, found: Judgement) -> None:
    """The number of regions, and of distinct affine maps, against an enumeration; boxes only."""
    answer = ran.json()
    query = question(folder, ran.command[2])
    places = rounded_cells(query)
    if answer is None or len(places) != 1 or any(len(a.form.terms) > 1 for atoms in query.domain() for a in atoms):
        return
    function, _ = read_function(folder / ran.command[1])
    patterns = {sides for _, sides in cells(function, places[0])}
    exact = len(patterns)
    found.outcome, found.expected = "complete" if answer["complete"] else "bounds", f"{exact} regions"
    low, high = answer["lower_bound"], answer["upper_bound"]
    if not low <= exact <= high or (answer["complete"] and answer["regions"] != exact):
        found.faults.append(f"regions: {low} to {high}, complete: {answer['complete']}; exact: {exact}")


def judge_shallow(folder: Path, ran: Ran, found: Judgement) -> None:
    """The proved bound of an approximation; how much of the domain is exact is an estimate, and not judged."""
    answer = ran.json()
    if answer is None or ran.status != 0:
        return
    places = closed_cells(question(folder, ran.command[2]))
    original, shallow = (read_function(folder / name)[0] for name in (ran.command[1], option(ran, "-o")))
    true = max(fraction(max(d)) for d in zip(*(deviation(original, shallow, cell) for cell in places), strict=True))
    found.outcome = "bounded"
    if true > Fraction(answer["error_bound"]):
        found.faults.append(f"shallow: at most {answer['error_bound']!r}, but the deviation is {shown(true)}")


def judge_check(folder: Path, ran: Ran, found: Judgement) -> None:
    """A verified claim is true, whoever made the certificate."""
    answer = ran.json()
    if answer is None:
        return
    found.outcome = answer["verdict"]
    if answer["verdict"] != "verified":
        if "c.cert" in ran.command and answer["code"] != "check/too-long":
            found.faults.append(f"check: what reduce wrote is rejected: {answer['code']} {answer['reason']}")
        return
    query = question(folder, ran.command[2])
    original = read_function(folder / ran.command[1])[0]
    if answer["claim"] == "unsat":
        if all(satisfiable(alone(query, k), original) for k in range(len(query.disjuncts))):
            found.faults.append("check: verified that a disjunct is unsat, but each is sat")
        return
    if answer["claim"] == "equivalent":
        reduced = read_function(folder / ran.command[3])[0]
        places = closed_cells(query)  # none where an adversary left no inputs: there, all is true
        exact = [max(d) for d in zip(*(deviation(original, reduced, cell) for cell in places), strict=True)]
        for k, (true, said) in enumerate(zip(exact, answer["epsilons"], strict=bool(places))):
            if math.isfinite(said) and fraction(true) > Fraction(said):
                found.faults.append(f"check: verified eps {said!r} of output {k}, but it is {shown(fraction(true))}")


def alone(query: Property, number: int) -> Property:
    """The query with one disjunct of its normal form."""
    return Property(query.networks, query.names, query.disjuncts[number : number + 1])


JUDGES: dict[str, Callable[[Path, Ran, Judgement], None]] = {
    "@stability": judge_stability,
    "stability": judge_counts,
    "reduce": judge_reduce,
    "verify": judge_verify,
    "equiv": judge_equiv,
    "regions": judge_regions,
    "shallow": judge_shallow,
    "check": judge_check,
}


def judge_sampled(folder: Path, ran: Ran, found: Judgement) -> None:
    """The verdict, where points show what is right."""
    query = question(folder, ran.command[1])
    said, x = verdict_of(ran, query)
    judge_points(folder, ran, found, query.disjuncts[0], x, said)


def judge_written(folder: Path, ran: Ran, found: Judgement) -> None:
    """A proof that a verdict came with is verified."""
    answer = ran.json()
    found.outcome = answer["verdict"] if answer else found.outcome
    if answer and answer["verdict"] != "verified" and (folder / "p.proof").exists():
        found.faults.append(f"check: what verify wrote is rejected: {answer['code']} {answer['reason']}")


SAMPLED: dict[str, Callable[[Path, Ran, Judgement], None]] = {
    "@stability": judge_ranges,
    "bounds": judge_ranges,
    "reduce": judge_epsilons,
    "equiv": judge_epsilons,
    "verify": judge_sampled,
    "check": judge_written,
}
"""For cases without an exact extreme."""
