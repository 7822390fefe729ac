"""Random properties of the hunt: domains, conditions with thresholds near or at the exact extreme, both versions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from .hunt_oracle import Form, Function, LeftOutError, extremes, fraction, rational
from .hunt_property import read_property, start


def decimal(value: Fraction | float, digits: int | None = None) -> str:
    """A decimal text: exact where there is one of at most 900 digits and none are asked for, else rounded."""
    exact = Fraction(value)
    if exact == 0:
        return "0.0"
    sign, size = ("-" if exact < 0 else ""), abs(exact)
    power = denominator_power(size.denominator)
    if digits is None and power is not None and power < 900:
        whole, places = size * 10**power, power
        assert whole.denominator == 1
    else:
        places = (digits or 20) - magnitude(size)
        whole = Fraction(round(size * Fraction(10) ** places))
    return sign + placed(str(whole.numerator), places)


def denominator_power(denominator: int) -> int | None:
    """The power of ten that makes 1 / denominator whole; None if there is none."""
    counts = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    return max(counts) if denominator == 1 else None


def magnitude(size: Fraction) -> int:
    """The exponent of the first digit of a positive number, up to one."""
    return len(str(size.numerator)) - len(str(size.denominator))


def placed(digits: str, places: int) -> str:
    """Digits with `places` of them behind the point; with an exponent where there would be many zeros."""
    if 0 <= places <= 40:
        digits = digits.rjust(places + 1, "0")
        cut = len(digits) - places
        return f"{digits[:cut]}.{digits[cut:] or '0'}"
    if -12 <= places < 0:
        return f"{digits}{'0' * -places}.0"
    return f"{digits}.0e{-places}"


@dataclass(slots=True)
class Domain:
    """Comparisons (sign, left, right) of terms in which inputs are `X<k>`; each part is a conjunction."""

    parts: list[list[tuple[str, str, str]]]
    ends: list[tuple[float, float]]
    strict: bool = False
    extra: bool = False


def draw_ends(rng: Random, inputs: int) -> list[tuple[str, str]]:
    """Texts of the bounds of a box."""
    kind = rng.choices(("unit", "decimals", "scaled", "mixed", "point", "tiny", "far"), (20, 16, 4, 4, 4, 4, 1))[0]
    free = set(rng.sample(range(inputs), min(inputs, 2 if inputs > 3 else 3)))  # of many inputs most are constants
    found = []
    for k in range(inputs):
        low, high = sorted(rng.uniform(-2, 2) for _ in range(2))
        if kind == "unit" or (kind == "mixed" and rng.random() < 0.5):
            low, high = rng.choice(((-1.0, 1.0), (0.0, 1.0), (-0.5, 0.25), (-2.0, 1.5), (1.0, 3.0)))
        elif kind == "scaled" or kind == "mixed":
            factor = 10.0 ** rng.uniform(-20, 20)
            low, high = low * factor, high * factor
        elif kind == "tiny":
            high = low + abs(low) * 10.0 ** rng.uniform(-9, -3)
        elif kind == "far":
            low, high = -1e39, 1e39
        if k not in free or (kind == "point" and rng.random() < 0.6):
            high = low
        places = rng.randint(1, 4)
        exact = kind != "decimals" or k not in free
        texts = (decimal(low), decimal(high)) if exact else (f"{low:.{places}f}", f"{high:.{places}f}")
        found.append(texts)
    return found


def draw_domain(rng: Random, inputs: int, plain: bool = False) -> Domain:
    """A domain; a plain one is a box of floats, closed."""
    count = 1 if plain or rng.random() < 0.9 else 2
    parts, around = [], []
    strict = not plain and rng.random() < 0.25
    extra = not plain and inputs > 1 and rng.random() < 0.2
    for _ in range(count):
        ends = draw_ends(rng, inputs)
        part = []
        for k, (low, high) in enumerate(ends):
            open_ends = strict and (low != high or rng.random() < 0.02)  # else nothing would be left
            below, above = (rng.choice(("", "=")) if open_ends else "=" for _ in range(2))
            if rng.random() < 0.5:
                part += [(f">{below}", f"X{k}", low), (f"<{above}", f"X{k}", high)]
            else:
                part += [(f"<{below}", low, f"X{k}"), (f">{above}", high, f"X{k}")]
        if extra:
            part.append(draw_row(rng, inputs, strict))
        parts.append(part)
        around.append([(float(low), float(high)) for low, high in ends])
    return Domain(parts, around[0], strict, extra)


def draw_row(rng: Random, inputs: int, strict: bool) -> tuple[str, str, str]:
    """A constraint between inputs: an order, an equality, or a sum."""
    a, b = rng.sample(range(inputs), 2)
    sign = rng.choice(("<", ">") if strict and rng.random() < 0.5 else ("<=", ">=", "=="))
    if rng.random() < 0.5:
        return sign, f"X{a}", f"X{b}"
    factor = rng.choice(("1.0", "-1.0", "0.3", "2.5"))
    return sign if sign != "==" else "<=", f"(+ X{a} (* {factor} X{b}))", rng.choice(("0.0", "0.1", "0.5", "1.0"))


def written(domain: Domain, condition: str, sizes: Sequence[int], version: str, element: str = "float32") -> str:
    """The property of one network; the condition has outputs `Y<j>` and inputs `X<k>`."""
    inputs, outputs = sizes
    body = assertions(domain, condition)
    if version == "1.0":
        head = [f"(declare-const X_{k} Real)" for k in range(inputs)]
        head += [f"(declare-const Y_{j} Real)" for j in range(outputs)]
        return lines_of(head, body, {"X": "X_{}", "Y": "Y_{}"}, version)
    ports = f"(declare-input X {element} [1,{inputs}]) (declare-output Y {element} [1,{outputs}])"
    head = ["(vnnlib-version <2.0>)", f"(declare-network N {ports})"]
    return lines_of(head, body, {"X": "X[0,{}]", "Y": "Y[0,{}]"}, version)


def written_pair(domain: Domain, condition: str, sizes: Sequence[int], element: str, relation: str) -> str:
    """The property of two networks on equal inputs; the second one has inputs `Z<k>` and outputs `W<j>`."""
    inputs, outputs = sizes
    head = ["(vnnlib-version <2.0>)"]
    for name, link, x, y in (("f", "", "X", "Y"), ("g", f"({relation} f)", "Z", "W")):
        ports = f"(declare-input {x} {element} [1,{inputs}]) (declare-output {y} {element} [1,{outputs}])"
        head.append(f"(declare-network {name} {link} {ports})")
    body = [*assertions(domain, ""), *(f"(assert (== X{k} Z{k}))" for k in range(inputs)), f"(assert {condition})"]
    return lines_of(head, body, {name: f"{name}[0,{{}}]" for name in "XYZW"}, "2.0")


def assertions(domain: Domain, condition: str) -> list[str]:
    last = [f"(assert {condition})"] if condition else []
    if len(domain.parts) == 1:
        return [f"(assert ({s} {a} {b}))" for s, a, b in domain.parts[0]] + last
    parts = [" ".join(f"({s} {a} {b})" for s, a, b in part) for part in domain.parts]
    return [f"(assert (or {' '.join(f'(and {part})' for part in parts)}))", *last]


def lines_of(head: list[str], body: list[str], names: dict[str, str], version: str) -> str:
    return "\n".join([*head, *(renamed(line, names, version) for line in body)]) + "\n"


def renamed(line: str, names: dict[str, str], version: str) -> str:
    """Placeholders become the version's names, and `==` its sign."""
    text = re.sub(r"\b([XYZW])(\d+)\b", lambda m: names[m[1]].format(m[2]), line)
    return text.replace("(== ", "(= ") if version == "1.0" else text


def draw_condition(rng: Random, function: Function, domain: Domain, inputs: int) -> str:
    """A condition on outputs: rows with thresholds near the exact extreme of the row, in `and` or `or`."""
    whole = read_property(written(domain, "", (inputs, 0), "1.0"))
    rows = [
        draw_comparison(rng, function, whole.domain()[:1], inputs) for _ in range(rng.choices((1, 2, 3), (7, 2, 1))[0])
    ]
    if len(rows) == 1:
        return rows[0]
    return f"({rng.choice(('or', 'or', 'and'))} {' '.join(rows)})"


def draw_comparison(rng: Random, function: Function, parts: list[list], inputs: int) -> str:
    outputs = len(function.outputs)
    j = rng.randrange(outputs)
    form, text = function.outputs[j], f"Y{j}"
    if outputs > 1 and rng.random() < 0.4:
        other = rng.choice([k for k in range(outputs) if k != j])
        if rng.random() < 0.5:
            return f"({rng.choice(('<=', '>=', '<', '>'))} Y{j} Y{other})"
        form, text = form - function.outputs[other], f"(- Y{j} Y{other})"
    elif rng.random() < 0.15:
        factor = rng.choice(("2.0", "2.0", "0.1", "0.1", "-3.0", "1e400"))
        form, text = form.scaled(rational(factor)), f"(* {factor} Y{j})"
    low, high = reach(function, form, parts, inputs)
    sign, threshold = draw_threshold(rng, low, high)
    return f"({sign} {text} {threshold})"


def reach(function: Function, form: Form, parts: list[list], inputs: int) -> tuple[Fraction, Fraction]:
    """The exact range of a form on the first part that is not empty; a guess where there are too many cells."""
    try:
        for atoms in parts:
            cell, _ = start(atoms, inputs)
            if cell:
                ((low, high),) = extremes(function, cell, [form])
                return fraction(low), fraction(high)
    except LeftOutError:
        pass
    return Fraction(-1), Fraction(1)


def draw_threshold(rng: Random, low: Fraction, high: Fraction) -> tuple[str, str]:
    """A sign and a threshold: at the extreme, within 1e-6 to 1e-13 of it on either side, or anywhere."""
    upper = rng.random() < 0.5
    end = high if upper else low
    size = abs(end) or (high - low) or Fraction(1)
    sign = (">" if upper else "<") + rng.choice(("", "="))
    if rng.random() < 0.02:
        return sign, rng.choice(("1e400", "-1e400", "1e-400", "1e39", "-1e39"))
    where = rng.random()
    if where < 0.25:
        return rng.choice((sign, sign, sign, "==")), decimal(end)
    if where < 0.75:
        distance = Fraction(10.0 ** rng.uniform(-13, -6)) * size * rng.choice((1, -1))
        return sign, decimal(end + distance, 24)
    target = low + (high - low) * Fraction(rng.uniform(-0.2, 1.2))
    return rng.choice((sign, sign, "==")), decimal(target, 6)
