"""Cases without an exact extreme: smooth functions, roundings, and runs in float32.

Judged by what sampled points show for certain (`hunt_values`).  What was drawn stays beside the files as points.json,
so that the judge looks where the draw found the largest values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import flint
import numpy as np
import onnx
from flint import arb, fmpq

from .hunt_networks import Builder, Sizes, Style, draw_layer
from .hunt_oracle import LeftOutError, fraction, rational
from .hunt_texts import Domain, decimal, draw_domain, written
from .hunt_values import BITS, Balls, Evaluation, Rationals, Run, float32_points

POINTS, CLIMBS, RUNS = 24, 24, 4
FUNCTIONS = ("Sigmoid", "Tanh", "Exp", "Sin", "Cos", "Erf", "Softplus", "Silu", "Square", "Cube", "Product", "Softmax")
Commands = list[list[str]]
Points = list[list[Fraction]]


def smooth(rng: Random, folder: Path) -> Commands:
    """Functions between affine layers and ReLUs."""
    files(rng, folder, lambda builder: activation(rng, builder), Balls())
    limit = rng.choice(("0.3", "1", "2"))
    what = rng.random()
    if what < 0.5:
        return verifying(limit, rng.random() < 0.25)
    if what < 0.7:
        return [["@stability", "net.onnx", "prop.vnnlib", rng.choice(("crown", "portfolio")), limit]]
    if what < 0.85:
        return [["bounds", "net.onnx", "prop.vnnlib", "-o", "b.json", "--time-limit", limit, "--json"]]
    report = ["--report", "page"] if rng.random() < 0.2 else []
    return [["reduce", "net.onnx", "prop.vnnlib", "-o", "out.onnx", "--time-limit", limit, "--json", *report]]


def verifying(limit: str, proof: bool = False) -> Commands:
    command = ["verify", "prop.vnnlib", "--network", "net.onnx", "--timeout", limit, "--workers", "1", "--json"]
    if not proof:
        return [command]
    return [[*command, "--proof", "p.proof"], ["check", "net.onnx", "prop.vnnlib", "p.proof", "--json"]]


def rounded(rng: Random, folder: Path) -> Commands:
    """QuantizeLinear and DequantizeLinear between affine layers, beside the same network without them."""
    files(rng, folder, lambda builder: quantised(rng, builder), Rationals())
    limit = rng.choice(("0.3", "1", "2"))
    what = rng.random()
    if what < 0.5:
        return verifying(limit)
    if what < 0.65:
        return [["bounds", "net.onnx", "prop.vnnlib", "-o", "b.json", "--time-limit", limit, "--json"]]
    (folder / "f.onnx").write_bytes(unrounded((folder / "net.onnx").read_bytes()))
    return [["equiv", "f.onnx", "net.onnx", "prop.vnnlib", "--timeout", limit, "--json", "--epsilon", far(rng, folder)]]


def runs(rng: Random, folder: Path) -> Commands:
    """Questions about all float32 runs."""
    files(rng, folder, lambda builder: builder.node("Relu", [builder.name]), Run(rng))
    limit = rng.choice(("0.3", "1", "2"))
    what = rng.random()
    if what < 0.6:
        asked = verifying(limit, rng.random() < 0.3)
        return [[*asked[0], "--semantics", "float32"], *asked[1:]]
    reducing = ["reduce", "net.onnx", "prop.vnnlib", "-o", "out.onnx", "--time-limit", limit, "--json"]
    if what < 0.7:
        return [reducing]
    if what < 0.8:
        certified = [*reducing, "--certificate", "p.proof", "--tree-time-limit", "1"]
        return [certified, ["check", "net.onnx", "prop.vnnlib", "out.onnx", "p.proof", "--json"]]
    command = ["equiv", "net.onnx", "out.onnx", "prop.vnnlib", "--timeout", limit, "--json", "--semantics", "float32"]
    return [reducing, [*command, "--epsilon", decimal(10.0 ** rng.uniform(-9, -3), 6)]]


def unrounded(model: bytes) -> bytes:
    """The same network without its roundings."""
    changed = onnx.load_from_string(model)
    passed: dict[str, str] = {}
    kept = []
    for node in changed.graph.node:
        names = [passed.get(name, name) for name in node.input]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            passed[node.output[0]] = names[0]
            continue
        node.input[:] = names
        kept.append(node)
    del changed.graph.node[:]
    changed.graph.node.extend(kept)
    return changed.SerializeToString()


def files(rng: Random, folder: Path, between: Any, numbers: Any) -> None:
    """net.onnx, prop.vnnlib with a threshold near the largest or least value found, and points.json."""
    sizes = Sizes(rng.randint(1, 3), rng.randint(1, 2), tuple(rng.randint(2, 5) for _ in range(rng.randint(1, 2))))
    while True:
        domain = draw_domain(rng, sizes.inputs, plain=True)
        if max(abs(v) for end in domain.ends for v in end) < 1e6:
            break
    style = Style(rng.choice(("quarters", "plain", "plain", "sparse", "needles")), "float32", [1.0] * 4)
    style.scales = [10.0 ** rng.uniform(-2, 1) for _ in range(4)]
    model = network(rng, sizes, domain, style, between)
    (folder / "net.onnx").write_bytes(model)
    low, high = ([Fraction(str(pair[k])) for pair in texts(domain)] for k in (0, 1))
    evaluation = Evaluation(folder / "net.onnx")
    j, up = rng.randrange(sizes.outputs), rng.random() < 0.5

    def value(point: Sequence[Fraction]) -> Any:
        return evaluation.at(point, numbers)[j]

    points = climbed(rng, low, high, value, up, isinstance(numbers, Run))
    threshold = near(rng, value(points[0]), up) if points else "0.0"
    sign = ">=" if up else "<="
    text = written(domain, f"({sign} Y{j} {threshold})", (sizes.inputs, sizes.outputs), "1.0")
    (folder / "prop.vnnlib").write_text(text, "utf-8")
    (folder / "points.json").write_text(json.dumps([[str(x) for x in point] for point in points]), "utf-8")


def texts(domain: Domain) -> list[tuple[str, str]]:
    """The ends of each input, as written."""
    found: dict[str, list[str]] = {}
    for _, a, b in domain.parts[0]:
        name, end = (a, b) if a.startswith("X") else (b, a)
        found.setdefault(name, []).append(end)
    pairs = [sorted(ends, key=Fraction) for _, ends in sorted(found.items(), key=lambda item: int(item[0][1:]))]
    return [(low, high) for low, high in pairs]


def network(rng: Random, sizes: Sizes, domain: Domain, style: Style, between: Any) -> bytes:
    builder = Builder(rng, style, sizes.inputs)
    for number, units in enumerate(sizes.layers):
        draw_layer(rng, builder, number, units, domain.ends if number == 0 else None)
        between(builder)
        if rng.random() < 0.5:
            builder.node("Relu", [builder.name])
    draw_layer(rng, builder, len(sizes.layers), sizes.outputs, None)
    return builder.model()


def activation(rng: Random, builder: Builder) -> None:
    """A function of each component, a product of two, or all at once."""
    kind, name = rng.choice(FUNCTIONS), builder.name
    if kind == "Silu":
        builder.node("Mul", [name, builder.node("Sigmoid", [name])])
    elif kind in ("Square", "Cube"):
        builder.node("Pow", [name, builder.tensor(2.0 if kind == "Square" else 3.0)])
    elif kind == "Product":
        builder.node("Mul", [name, builder.node(rng.choice(("Tanh", "Relu", "Sin")), [name])])
    elif kind == "Softmax":
        builder.node("Softmax", [name], axis=1)
    else:
        builder.node(kind, [name])


def quantised(rng: Random, builder: Builder) -> None:
    dtype = rng.choice(("int8", "uint8"))
    zero = rng.randint(-5, 5) if dtype == "int8" else rng.randint(0, 200)
    pair = [builder.tensor(np.float32(2.0 ** rng.uniform(-7, -1))), builder.tensor(zero, dtype)]
    if rng.random() < 0.7:
        builder.node("Relu", [builder.name])
    builder.node("DequantizeLinear", [builder.node("QuantizeLinear", [builder.name, *pair]), *pair])


def climbed(rng: Random, low: list[Fraction], high: list[Fraction], value: Any, up: bool, stored: bool) -> Points:
    """Points of the box, the best first: random ones and corners, then steps from the best along single inputs."""

    def inside(shares: Sequence[Fraction]) -> list[Fraction]:
        return [a + (b - a) * s for a, b, s in zip(low, high, shares, strict=True)]

    points = [inside([Fraction(rng.choice((0, 1, rng.random()))).limit_denominator(4096) for _ in low])
              for _ in range(POINTS)]  # fmt: skip
    points = float32_points(points, low, high) if stored else points
    scored = [(middle(value(point)), point) for point in points]
    scored = sorted((pair for pair in scored if np.isfinite(pair[0])), key=lambda pair: -pair[0] if up else pair[0])
    for step in range(CLIMBS if scored else 0):
        best, point = scored[0]
        k = rng.randrange(len(low))
        moved = list(point)
        moved[k] += (high[k] - low[k]) * Fraction(rng.gauss(0, 0.5 ** (step / 4))).limit_denominator(1 << 20)
        moved[k] = min(max(moved[k], low[k]), high[k])
        for new in float32_points([moved], low, high) if stored else [moved]:
            got = middle(value(new))
            scored.insert(0 if (got > best) == up and got != best else len(scored), (got, new))
    return [point for _, point in scored]


def middle(value: Any) -> float:
    return (
        float(value.mid()) if isinstance(value, arb) else float(fraction(value) if isinstance(value, fmpq) else value)
    )


def near(rng: Random, value: Any, up: bool) -> str:
    """A threshold that the best point meets, or misses by a little, or by much."""
    size = Fraction(middle(value))
    step = Fraction(10.0 ** rng.uniform(-12, -1)) * (abs(size) or 1)
    outward = step if up else -step
    return decimal(size + outward * rng.choice((-1, -1, 1, 1, 0)), 20)


def far(rng: Random, folder: Path) -> str:
    """An epsilon near the largest difference seen."""
    evaluations = [Evaluation(folder / name) for name in ("f.onnx", "net.onnx")]
    seen = [[e.at(point, Rationals()) for e in evaluations] for point in points_of(folder)]
    largest = max((abs(a - b) for f, g in seen for a, b in zip(f, g, strict=True)), default=fmpq(0))
    return decimal(fraction(largest) * Fraction(rng.choice((0.5, 0.999, 1.001, 2, 10))), 12)


def points_of(folder: Path) -> Points:
    return [[Fraction(x) for x in point] for point in json.loads((folder / "points.json").read_text("utf-8"))]


def is_sampled(folder: Path) -> bool:
    return (folder / "points.json").exists()


def numbers_of(folder: Path, ran: Any) -> list[Any]:
    """How the networks of a question are to be evaluated; runs several times, with other orders."""
    if "float32" in ran.command or (ran.command[0] == "reduce" and not smooth_in(folder)):
        return [Run(Random(seed)) for seed in range(RUNS)]
    return [Balls()] if smooth_in(folder) else [Rationals()]


def smooth_in(folder: Path) -> bool:
    """Whether a model has functions that rationals do not know."""
    try:
        for point in points_of(folder)[:1]:
            Evaluation(folder / "net.onnx").at(point, Rationals())
    except LeftOutError:
        return True
    return False


def judge_points(folder: Path, ran: Any, found: Any, atoms: Sequence[Any], x: Sequence[fmpq], said: str) -> None:
    """No point shown to satisfy the condition where the answer is unsat, and none shown not to for an input of sat."""
    evaluation = Evaluation(folder / "net.onnx")
    atoms = [a for a in atoms if any(v < 0 for v in a.form.terms)]
    found.outcome = f"{said} (sampled)"
    points = points_of(folder) if said == "unsat" else [list(map(fraction, x))] if said == "sat" else []
    for point in points:
        for numbers in numbers_of(folder, ran):
            values = [ball(v) for v in evaluation.at(point, numbers)]
            with flint.ctx.workprec(BITS):
                margins = [sum((arb(c) * values[-1 - v] for v, c in a.form.terms.items()), arb(a.form.constant))
                           for a in atoms]  # fmt: skip
            if said == "unsat" and all(m <= 0 for m in margins):
                found.faults.append(f"verify: unsat, but {list(map(str, point))} satisfies it")
            if said == "sat" and any(m > 0 for m in margins):
                found.faults.append(f"verify: sat, but {list(map(str, point))} does not satisfy it")


def ball(value: Any) -> arb:
    return value if isinstance(value, arb) else arb(value if isinstance(value, fmpq) else rational(float(value)))


def judge_ranges(folder: Path, ran: Any, found: Any) -> None:
    """No number of a ReLU or output beyond its bounds, and no sign that a unit does not have."""
    answer = ran.json()
    if answer is None:
        return
    found.outcome = "units (sampled)"
    evaluation = Evaluation(folder / "net.onnx")
    for point in points_of(folder):
        outputs = evaluation.at(point, numbers_of(folder, ran)[0])
        layers = [(layer["name"], layer, evaluation.relus.get(layer["name"])) for layer in answer["layers"]]
        layers += [("outputs", answer["outputs"], outputs)] if "outputs" in answer else []
        for name, told, values in layers:
            for k, z in enumerate(map(ball, values or ())):
                low, high = (
                    arb(end if told[side][k] is None else float(told[side][k]))
                    for side, end in (("lower", -math.inf), ("upper", math.inf))
                )
                sign = told.get("status", {k: ""})[k]
                if z < low or z > high or (sign == "active" and z < 0) or (sign == "inactive" and z > 0):
                    found.faults.append(f"{ran.command[0]}: {name} {k}: {sign} [{low}, {high}], but {z} at {point}")


def judge_epsilons(folder: Path, ran: Any, found: Any) -> None:
    """No point where two networks differ by more than is proved."""
    answer = ran.json()
    if answer is None or answer.get("epsilon_of", "outputs") != "outputs":  # of what operators behind it read
        return
    first, second = ran.command[1], ran.command[2]
    if ran.command[0] == "reduce":
        second = ran.command[ran.command.index("-o") + 1]
    if not (folder / second).exists():
        return
    found.outcome = f"{answer.get('verdict', 'eps')} (sampled)"
    kinds = [(answer["epsilons"], numbers_of(folder, ran)[:1])]
    if ran.command[0] == "reduce":  # over the reals, and in runs
        kinds = [(answer["epsilons"], [Balls()]), (answer.get("epsilons_float32"), numbers_of(folder, ran))]
    elif answer["verdict"] == "equivalent":
        kinds.append(([float(ran.command[ran.command.index("--epsilon") + 1])] * 9, numbers_of(folder, ran)))
    evaluations = [Evaluation(folder / name) for name in (first, second)]
    for epsilons, all_numbers in kinds:
        for point in points_of(folder) if epsilons else ():
            for numbers in all_numbers:
                f, g = (map(ball, e.at(point, numbers)) for e in evaluations)
                for k, (a, b, said) in enumerate(zip(f, g, epsilons, strict=False)):
                    with flint.ctx.workprec(BITS):
                        apart = abs(a - b) > arb(float(said))
                    if apart:
                        found.faults.append(f"{ran.command[0]}: {said!r} proved for output {k}, but {a - b} at {point}")
