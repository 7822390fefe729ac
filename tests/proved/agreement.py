"""Mutants of proofs, by the Python checker and by the one that is proved in Coq: how often they agree, and none wrong.

    python -m tests.proved.agreement --count 10000 [--seed 1]

Half of the mutants are about the property that was proved, where both may say yes; half about one that an input
satisfies, where none may.  Exit status 1 where one does.
"""

import argparse
import sys
from collections import Counter

import numpy as np

from eqverify.proved import check_proved

from ..check.proof_cases import case, satisfied
from ..reject.test_mutations import mutate_array

RECIPES = ("cover", "rows", "constraints")


def verdicts(number, seed):
    """Whether the property holds, and what both say."""
    generator = np.random.default_rng([seed, number])
    one = case(RECIPES[number // 2 % len(RECIPES)] if number % 2 else "cover")
    head, arrays = one.parts
    for _ in range(generator.integers(1, 4)):
        mutate_array(generator, arrays)
    about = one if number % 2 else satisfied()
    proof = about.about(head, arrays)
    both = about.check(proof, arithmetic="exact"), check_proved(about.network, about.query, proof)
    return bool(number % 2), *(one.verified for one in both)


def main():
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = Counter(verdicts(number, options.seed) for number in range(options.count))
    for (true, python, coq), count in sorted(found.items()):
        says = ["rejects", "verifies"]
        print(f"{count:6} {'true ' if true else 'false'}: Python {says[python]}, Coq {says[coq]}")
    return int(any(not true and (python or coq) for true, python, coq in found))


if __name__ == "__main__":
    sys.exit(main())
