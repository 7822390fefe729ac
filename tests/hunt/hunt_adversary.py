"""An adversary who changes what a certificate says, or the files that it is about, and computes all digests anew.

Here, and only here, code of eqverify is used: to put a certificate together again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from eqverify.certificate.codec import MAGIC, Writer

from .hunt_networks import disturbed
from .hunt_texts import decimal

Arrays = list[np.ndarray]


def unpacked(data: bytes) -> tuple[dict[str, Any], Arrays]:
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    head, offset, arrays = json.loads(data[start : start + length]), start + length, []
    for kind, shape in head["arrays"]:
        dtype = np.dtype("|i1" if kind == "i1" else f"<{kind}")
        array = np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape).copy()
        offset += array.nbytes
        arrays.append(array)
    return head, arrays


def packed(head: dict[str, Any], arrays: Arrays) -> bytes:
    writer = Writer()
    for array in arrays:
        writer.array(array, f"{array.dtype.kind}{array.dtype.itemsize}")  # type: ignore[arg-type]
    return writer.bytes_with({key: value for key, value in head.items() if key != "arrays"})


@np.errstate(all="ignore")
def mutate(folder: Path, arguments: Sequence[str]) -> int:
    """From c.cert (or c-1.cert, ...), prop.vnnlib and out.onnx to bad.cert, bad.vnnlib and bad.onnx.

    Args:
        folder: of the case.
        arguments: a seed.
    """
    rng = Random(arguments[0])
    certificates = sorted(folder.glob("c*.cert"))
    if not certificates:
        return 2
    head, arrays = unpacked(rng.choice(certificates).read_bytes())
    text, model = (folder / "prop.vnnlib").read_text("utf-8"), (folder / "out.onnx")
    reduced = model.read_bytes() if model.exists() else b""
    where = rng.random()
    if where < 0.2 and reduced:
        reduced = disturbed(rng, reduced)
        epsilon_down(rng, head, arrays)
    elif where < 0.45:
        text = moved(rng, text)
    for _ in range(rng.choice((1, 1, 2, 3)) if where > 0.3 else 0):
        rng.choice(WAYS if head.get("claim") in REDUCTIONS else VERDICT_WAYS)(rng, head, arrays)
    files = {"network": (folder / "net.onnx").read_bytes(), "property": text.encode(), "reduced": reduced}
    digests = head.get("digests", {})
    head["digests"] = {name: hashlib.sha256(files[name]).hexdigest() for name in digests if name in files}
    (folder / "bad.cert").write_bytes(packed(head, arrays))
    (folder / "bad.vnnlib").write_bytes(files["property"])
    (folder / "bad.onnx").write_bytes(reduced)
    return 0


def moved(rng: Random, text: str) -> str:
    """The property with one number changed: a wider domain, another threshold."""
    numbers = list(re.finditer(r"(?<=[ (])-?\d+\.\d+(e-?\d+)?(?=[ )])", text))
    if not numbers:
        return text
    chosen = rng.choice(numbers)
    value = Fraction(chosen[0])
    change = value * Fraction(rng.choice((1e-12, 1e-6, 0.1, 1.0))) or Fraction(1, 10)
    return text[: chosen.start()] + decimal(value + rng.choice((-1, 1)) * change, 30) + text[chosen.end() :]


def some_array(rng: Random, arrays: Arrays, numbers: Sequence[Any]) -> np.ndarray | None:
    filled = [arrays[n] for n in numbers if isinstance(n, int) and arrays[n].size]
    return rng.choice(filled) if filled else None


def epsilon_down(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    """A smaller deviation than was proved."""
    array = some_array(rng, arrays, [head.get("epsilon")])
    if array is not None:
        array *= rng.choice((0.0, 0.5, 0.99, 1 - 1e-12))


def status_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    layers = head.get("layers")
    if not layers:
        return
    layer = rng.choice(layers)
    array = some_array(rng, arrays, [layer["status"]])
    if array is None or not array.size:
        return
    unit = rng.randrange(array.size)
    if any(arrays[layer[key]].shape != array.shape for key in ("evidence", "lower", "upper")):
        return  # changed by what came before
    array[unit] = rng.choice((1, 2))
    arrays[layer["evidence"]][unit] = rng.choice((1, 2, 3, 4))
    bound, way = (layer["upper"], -np.inf) if array[unit] == 1 else (layer["lower"], np.inf)
    if rng.random() < 0.7:
        values = arrays[bound]
        values[unit] = rng.choice((0.0, np.nextafter(0.0, way), -1.0 if way < 0 else 1.0))


def bounds_tightened(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    layers = head.get("layers")
    if not layers:
        return
    layer = rng.choice(layers)
    lower, upper = arrays[layer["lower"]], arrays[layer["upper"]]
    if lower.size:
        unit = rng.randrange(lower.size)
        middle = (lower[unit] + upper[unit]) / 2
        share = rng.choice((1e-12, 1e-3, 0.5, 1.0))
        lower[unit] += share * (middle - lower[unit])
        upper[unit] += share * (middle - upper[unit])


def relation_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    relations = head.get("relations")
    if relations:
        nudged(rng, some_array(rng, arrays, list(relations.values())))


def map_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    maps = head.get("map")
    if maps:
        nudged(rng, some_array(rng, arrays, list(rng.choice(maps).values())))


def nudged(rng: Random, array: np.ndarray | None) -> None:
    """One number of an array changed."""
    if array is None:
        return
    place = rng.randrange(array.size)
    flat = array.reshape(-1)
    if array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            ways = (0.0, 1.0, -flat[place], flat[place] * 2, np.nextafter(flat[place], np.inf), 1e300, np.nan, np.inf)
            flat[place] = rng.choice(ways)
    else:
        flat[place] = rng.choice((0, 1, -1, 2, int(flat[place]) ^ 1))


def any_number(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    nudged(rng, some_array(rng, arrays, range(len(arrays))))


def steps_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    """A step left out, twice, elsewhere, or exchanged for a solver's word."""
    steps = head.get("steps")
    if not steps:
        return
    place = rng.randrange(len(steps))
    way = rng.randrange(4)
    if way == 0:
        del steps[place]
    elif way == 1:
        steps.insert(place, steps[place])
    elif way == 2:
        steps.append(steps.pop(place))
    else:
        number = {"node": rng.randrange(6), "part": 0, "unit": rng.randrange(4), "sign": rng.choice((-1, 1))}
        steps[place] = {"kind": "solver", **number}


def leaf_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    """One whole number anywhere in the head."""
    leaves = [leaf for key in head if key not in ("version", "arrays", "digests") for leaf in leaves_of(head, key)]
    if leaves:
        holder, key = rng.choice(leaves)
        holder[key] = rng.choice((0, 1, 2, -1, holder[key] + 1, max(0, holder[key] - 1)))


def leaves_of(holder: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    value = holder[key]
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield holder, key
    elif isinstance(value, dict | list):
        for inner in value if isinstance(value, dict) else range(len(value)):
            yield from leaves_of(value, inner)


def domain_shrunk(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    domain = head.get("domain")
    if domain:
        lower, upper = arrays[domain["lower"]], arrays[domain["upper"]]
        middle = (lower + upper) / 2
        lower += 0.25 * (middle - lower)
        upper += 0.25 * (middle - upper)


WAYS: tuple[Callable[[Random, dict[str, Any], Arrays], None], ...] = (
    epsilon_down, status_changed, status_changed, bounds_tightened, relation_changed, map_changed, any_number,
    any_number, steps_changed, leaf_changed, domain_shrunk,
)  # fmt: skip


REDUCTIONS = ("equivalent", "equisatisfiable", "unsat")
"""Claims with a reduced network, and of single disjuncts."""


def text_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    """One number of an input that is named, of the deviations that are claimed, or of the reasons of a sign."""
    key = rng.choice(("epsilon", "input"))
    facts = [fact[4] for part in head.get("parts", []) if part["tree"] for fact in part["tree"]["facts"] if fact[4]]
    texts = rng.choice(facts) if facts else head.get(key)
    if isinstance(texts, list):
        place = rng.randrange(len(texts))
        value = Fraction(texts[place])
        way = rng.choice((0, 1, Fraction(1, 2), 1 - Fraction(1, 10**12), 1 + Fraction(1, 10**30), -1, 2))
        changed = value * way if value else Fraction(way)
        texts[place] = f"{changed.numerator}/{changed.denominator}"


def entries_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    """A case or a disjunct left out, twice, or in the place of another."""
    lists = [head.get("cases", [])]
    lists += [case["disjuncts"] for case in lists[0]]
    lists += [part["tree"]["facts"] for part in head.get("parts", []) if part["tree"]]
    chosen = rng.choice(lists)
    if chosen:
        place, other = rng.randrange(len(chosen)), rng.randrange(len(chosen))
        way = rng.randrange(3)
        if way == 0:
            del chosen[place]
        elif way == 1:
            chosen.insert(place, chosen[other])
        else:
            chosen[place] = chosen[other]


def inner_steps_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    """As `steps_changed`, of a case or a disjunct."""
    entries = [entry for case in head.get("cases", []) for entry in (case, *case["disjuncts"])]
    filled = [entry for entry in entries if entry["steps"]]
    if filled:
        steps_changed(rng, rng.choice(filled), arrays)


def claim_changed(rng: Random, head: dict[str, Any], arrays: Arrays) -> None:
    claims = ("property-unsat", "property-sat", "pair-equivalent", "pair-different", "unsat", "equivalent")
    head["claim"] = rng.choice(claims)


VERDICT_WAYS: tuple[Callable[[Random, dict[str, Any], Arrays], None], ...] = (
    text_changed, text_changed, entries_changed, inner_steps_changed, inner_steps_changed, any_number, any_number,
    any_number, leaf_changed, leaf_changed, claim_changed,
)  # fmt: skip
"""Of proofs of verdicts, and of what is said of two networks."""
