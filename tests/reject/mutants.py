"""An adversary's certificates, proofs, properties and networks, with all digests computed anew: none is believed.

    python -m tests.reject.mutants --count 10000 [--seed 1] [--arithmetic exact]

`tests/hunt/hunt_adversary.py` changes the files of small cases; what the checker verifies then is compared with the
truth, by enumeration of linear regions.  Exit status 1, and the case in a folder, where it is not true.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

from eqverify.checker import check_bytes
from eqverify.domain import Domain
from eqverify.errors import InputError
from eqverify.frontend.onnx import parse_network
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.frontend.vnnlib.reader import decode
from eqverify.network.normalise import normalised
from eqverify.testing.oracle import deviations_exact, directed_sets_exact

from ..check.certificate_cases import case, unpack
from ..check.proof_cases import case as proof
from ..check.proof_cases import satisfied
from ..check.test_pair_proofs import compared, told
from ..check.test_regions import counted, patterns
from ..hunt.hunt_adversary import mutate
from .test_mutations import TINY, Truth

NAMES = ("net.onnx", "prop.vnnlib", "c.cert", "out.onnx")
PROOFS = ["bounds", "cover", "satisfied", "equivalent", "different", "empty", "regions"]
"""Proofs of verdicts about small networks, whose truth the oracle finds too."""


@dataclass(frozen=True)
class Files:
    """What the checker is given, and what is about one network and a property, or two."""

    network: bytes
    query: bytes
    reduced: bytes | None
    certificate: bytes


@cache
def files_of(name):
    """The files of a case."""
    if name in TINY:
        one = case(name)
        return Files(one.network, one.query, one.reduced, one.certificate)
    if name in ("equivalent", "different"):
        files = compared(False)
        if name == "different":
            where = {"claim": "pair-different", "case": 1, "input": ["0.5", "-1/3"], "epsilon": ["0.2", "0"]}
            files = told(files, **where)
        return Files(*files)
    if name == "regions":
        model, query, certificate, _ = counted("parts")
        return Files(model, query, None, certificate)
    one = satisfied() if name == "satisfied" else proof("bounds" if name == "empty" else name)
    if name == "empty":
        one = replace(one, query=one.query + b"\n(assert (<= X_0 -2.0))\n")
        head, arrays = one.parts
        one = replace(one, proof=one.about({**head, "cases": []}, arrays))
    return Files(one.network, one.query, None, one.proof)


@cache
def deviations(network, query, reduced):
    """The largest deviations of two networks on the inputs of a property."""
    domain = lower(parse_query(decode(query))).domain
    return [found.value for found in deviations_exact(parse_network(network), parse_network(reduced), domain)]


@cache
def is_met(network, query):
    """Whether an input satisfies a property, strict signs aside."""
    try:
        cases = lower(parse_query(decode(query))).cases
    except InputError:  # no input at all
        return False
    pairs = ((Domain((case.polytope,)), rows) for case in cases for rows in case.unsafe)
    return any(directed_sets_exact(parse_network(network), *pair) is not None for pair in pairs)


@cache
def regions(network, query):
    """How many linear regions a network has on the inputs of a property."""
    return len(patterns(parse_network(network), lower(parse_query(decode(query))).domain))


@cache
def stable(network, query, reduced):
    """What is true of a reduction."""
    domain = lower(parse_query(decode(query))).domain
    return Truth(normalised(parse_network(network)), parse_network(reduced), domain)


def is_true(files, claim, verdict):
    """Whether what was verified of some files is so."""
    if claim.startswith("property") or claim in ("runs-sat", "runs-unsat"):  # less is true of runs
        return is_met(files.network, files.query) == claim.endswith("-sat")
    if claim == "regions":
        true, said = regions(files.network, files.query), verdict.asked
        return int(said.split()[-1]) <= true if "least" in said else said == str(true)
    if claim.startswith(("pair", "runs")):
        epsilons = map(Fraction, unpack(files.certificate)[0]["epsilon"])
        found = deviations(files.network, files.query, files.reduced)
        far = any(value > most for value, most in zip(found, epsilons, strict=True))
        return far == claim.endswith("different")
    return stable(files.network, files.query, files.reduced).allows(verdict, files.certificate)


def attack(number, seed, arithmetic, folder):
    """The verdict on one attempt: `rejected`, `verified`, `wrong` or `no mutant`; its files stay in the folder."""
    names = [*TINY, *PROOFS]
    files = files_of(names[number % len(names)])
    (folder / "out.onnx").unlink(missing_ok=True)
    for name, data in zip(NAMES, (files.network, files.query, files.certificate, files.reduced), strict=True):
        if data is not None:
            (folder / name).write_bytes(data)
    try:
        mutate(folder, [f"{seed}-{number}"])
    except (ValueError, KeyError, TypeError):  # a second change of what the first one broke
        return "no mutant"
    query, reduced, certificate = ((folder / f"bad{end}").read_bytes() for end in (".vnnlib", ".onnx", ".cert"))
    changed = Files(files.network, query, None if files.reduced is None else reduced, certificate)
    verdict = check_bytes(changed.network, changed.query, changed.reduced, changed.certificate, arithmetic)
    if not verdict.verified:
        return f"rejected {verdict.code}"
    return f"verified {verdict.claim}" if is_true(changed, verdict.claim, verdict) else "wrong"


def main():
    """Count verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--arithmetic", choices=("float", "exact"), default="float")
    options, found = parser.parse_args(), Counter()
    for number in range(options.count):
        folder = Path(tempfile.mkdtemp(prefix="mutant-"))
        verdict = attack(number, options.seed, options.arithmetic, folder)
        found[verdict] += 1
        if verdict == "wrong":
            print(f"wrong: {folder}")
            continue
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    print(f"{options.count} attempts, {found['wrong']} wrong acceptances", *found.most_common(), sep="\n  ")
    return int(found["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
