"""Runs the proved checker on the proof of a verdict."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from eqverify.checker import Verdict, rejected
from eqverify.checker.reader import Reader
from eqverify.domain import Specification
from eqverify.errors import EqverifyError, RejectedError, UsageError
from eqverify.frontend.onnx import parse_network, unpacked
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.frontend.vnnlib.reader import decode
from eqverify.network import Network
from eqverify.network.normalise import normalised
from eqverify.proved.problem import integers, refused
from eqverify.proved.reading_back import require_same
from eqverify.proved.steps import proof_numbers

PROGRAM = "eqverify-coq-check"


def check_proved(network: bytes, query: bytes, proof: bytes) -> Verdict:
    """Re-establish that no input satisfies a property (K-13) with the checker that is proved in Coq.

    Args:
        network, query, proof: the bytes of the files.

    Returns:
        The verdict.  Trusted: Coq's kernel, its extraction, OCaml and zarith; the readers of both formats,
        `eqverify.network.normalise`, and `require_same`.

    Raises:
        UsageError: `usage/no-kernel` where the program is not on the path.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        hint = f"build it with specs/coq/build.sh FOLDER, and add FOLDER to PATH: it holds {PROGRAM}"
        raise UsageError("usage/no-kernel", "the checker that is proved in Coq is not there", value=PROGRAM, hint=hint)
    try:
        original, specification = normalised(parse_network(unpacked(network))), lower(parse_query(decode(query)))
        if len(specification.networks) != 1:
            raise refused("the property is about several networks")
        sizes = specification.domain.size, specification.output_size
        if sizes != (original.input_size, original.output_size):
            raise RejectedError("check/arity", "the property is about another network")
        reader = Reader(proof, original)
        reader.compare({"network": network, "property": query})
        claim = reader.field(reader.head, "claim")
        if claim != "property-unsat":
            raise refused("only that no input satisfies a property is checked", str(claim)[:40])
        _check(program, original, specification, reader)
    except EqverifyError as error:
        return replace(rejected(error), kernel="coq")
    return Verdict(True, claim, kernel="coq")


def _check(program: str, network: Network, specification: Specification, reader: Reader) -> None:
    """Write both files, read the problem back, and ask.

    Raises:
        RejectedError: `check/kernel`, where the program does not accept the proof.
    """
    problem = integers(network, specification)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("problem", "proof")]
        parts = problem.numbers(), proof_numbers(network, specification.cases, problem, reader)
        for file, numbers in zip(files, parts, strict=True):
            file.write_text(_text(numbers), "ascii")
        require_same(files[0].read_text("ascii"), network, specification)
        found = subprocess.run([program, *map(str, files)], capture_output=True, text=True, check=False)
    if (found.returncode, found.stdout) != (0, "verified\n"):
        why = found.stderr.strip()[-200:] or found.stdout.strip()
        raise RejectedError("check/kernel", "the checker that is proved in Coq does not accept the proof", value=why)


def _text(numbers: Iterator[int]) -> str:
    return " ".join(map(str, numbers)) + "\n"
