"""Mutants of proofs, by the Python checker and by the one that is proved in Coq: how often they agree, and none wrong.

    python -m tests.proved.agreement --count 10000 [--seed 1]

A third of the mutants are about the property that was proved, where both may say yes; a third about one that an input
satisfies, where none may; a third are certificates of reductions, judged by enumeration of linear regions.  Exit status
1 where one of them says what is wrong.
"""

import argparse
import sys
from collections import Counter
from fractions import Fraction
from functools import cache

import numpy as np

from eqverify.frontend.onnx import parse_network
from eqverify.proved import check_proved
from eqverify.testing.oracle import deviations_exact

from ..check.certificate_cases import case as reduction
from ..check.certificate_cases import pack
from ..check.proof_cases import case, satisfied
from ..reject.test_mutations import mutate_array

RECIPES, REDUCTIONS = ("cover", "rows", "constraints"), ("boxes", "two-parts")


def verdicts(number, seed):
    """What it is about, and what both say."""
    generator, kind = np.random.default_rng([seed, number]), number % 3
    if kind == 2:
        one = reduction(REDUCTIONS[number // 3 % len(REDUCTIONS)])
    else:
        one = case(RECIPES[number // 3 % len(RECIPES)] if kind else "cover")
    head, arrays = one.parts
    for _ in range(generator.integers(1, 4)):
        mutate_array(generator, arrays)
    if kind == 2:
        proof = pack(head, arrays)
        found = check_proved(one.network, one.query, proof, one.reduced)
        true = not found.verified or all(d <= Fraction(e) for d, e in zip(deviations(one), found.epsilons, strict=True))
        return ("reduction" if true else "wrong"), one.check(proof, "exact").verified, found.verified
    about = one if kind else satisfied()
    proof = about.about(head, arrays)
    both = about.check(proof, arithmetic="exact"), check_proved(about.network, about.query, proof)
    return ("true" if kind else "wrong"), *(one.verified for one in both)


@cache
def deviations(one):
    """How far a reduced network is from the original, by enumeration."""
    return [d.value for d in deviations_exact(one.original, parse_network(one.reduced), one.domain)]


def main():
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = Counter(verdicts(number, options.seed) for number in range(options.count))
    for (about, python, coq), count in sorted(found.items()):
        says = ["rejects", "verifies"]
        print(f"{count:6} {about}: Python {says[python]}, Coq {says[coq]}")
    return int(any(about == "wrong" and (python or coq) for about, python, coq in found))


if __name__ == "__main__":
    sys.exit(main())
