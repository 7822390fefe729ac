"""An adversary's certificates, properties and networks, with all digests computed anew: how many, and none wrong.

    python -m tests.reject.mutants --count 10000 [--seed 1] [--arithmetic exact]

`tests/hunt/hunt_adversary.py` changes the files of small cases; what the checker verifies then is compared with the
truth, by enumeration of linear regions.  Exit status 1, and the case in a folder, where it is not true.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.frontend.vnnlib.reader import decode

from ..check.certificate_cases import case
from ..hunt.hunt_adversary import mutate
from .test_mutations import TINY, Truth

NAMES = ("net.onnx", "prop.vnnlib", "out.onnx", "c.cert")


@cache
def truth_of(one):
    """Of a case, whose certificate does not matter."""
    domain = lower(parse_query(decode(one.query))).domain
    return Truth(replace(one, domain=domain))


def attack(number, seed, arithmetic, folder):
    """The verdict on one attempt: `rejected`, `verified`, `wrong` or `no mutant`; its files stay in the folder."""
    one = case(TINY[number % len(TINY)])
    for name, data in zip(NAMES, (one.network, one.query, one.reduced, one.certificate), strict=True):
        (folder / name).write_bytes(data)
    try:
        mutate(folder, [f"{seed}-{number}"])
    except ValueError:  # a second change of what the first one broke
        return "no mutant"
    query, reduced, certificate = ((folder / f"bad{end}").read_bytes() for end in (".vnnlib", ".onnx", ".cert"))
    changed = replace(one, query=query, reduced=reduced, certificate=b"")
    verdict = changed.check(certificate, arithmetic=arithmetic)
    if not verdict.verified:
        return f"rejected {verdict.code}"
    return "verified" if truth_of(changed).allows(verdict, certificate) else "wrong"


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
