"""Runs the proved checker on the proof of a verdict, or on the certificate of a reduction."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import lcm
from pathlib import Path

import numpy as np

from eqverify.checker import Verdict, rejected
from eqverify.checker.reader import Reader
from eqverify.domain import Case, Specification
from eqverify.errors import EqverifyError, RejectedError, UsageError
from eqverify.frontend.onnx import parse_network, unpacked
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.frontend.vnnlib.reader import decode
from eqverify.network import Network, outputs_exact
from eqverify.network.normalise import normalised
from eqverify.proved.comparison import claimed_signs, comparison_proof
from eqverify.proved.problem import integers, listed, point_numbers
from eqverify.proved.questions import (
    Question,
    chain,
    of_disjunct,
    of_inputs,
    of_property,
    refused,
    rows_of_point,
    where_disjunct,
)
from eqverify.proved.reading_back import require_same, require_same_point
from eqverify.proved.steps import disjunct_proof, property_proof

PROGRAM = "eqverify-coq-check"


def check_proved(network: bytes, query: bytes, proof: bytes, reduced: bytes | None = None) -> Verdict:
    """Re-establish what a proof or a certificate claims with the checker proved in Coq (K-6 to K-8, K-12 to K-14).

    Args:
        network, query, proof: the bytes of the files.
        reduced: of the reduced network, where the claim is about two.

    Returns:
        The verdict.  Trusted: Coq's kernel, its extraction, OCaml and zarith; the readers of both formats,
        `eqverify.network.normalise`, `proved.questions` and `proved.reading_back`.

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
        chain(original)  # else refused
        reader = Reader(proof, original)
        reader.compare({"network": network, "property": query} | ({} if reduced is None else {"reduced": reduced}))
        job = _Job(program, original, specification, reader)
        return job.alone() if reduced is None else job.pair(parse_network(unpacked(reduced)))
    except EqverifyError as error:
        return replace(rejected(error), kernel="coq")


@dataclass(frozen=True, slots=True)
class _Job:
    """One claim about a network and a property."""

    program: str
    network: Network
    specification: Specification
    reader: Reader

    def alone(self) -> Verdict:
        """What is claimed of one network."""
        claim, specification = self.reader.field(self.reader.head, "claim"), self.specification
        self._require_sizes(outputs=True)
        if claim == "property-unsat":
            self._unsat(of_property(specification), whole=True)
        elif claim == "property-sat":
            self._sat()
        elif claim == "unsat":
            case, disjunct = self._disjunct()
            self._unsat([of_disjunct(case, disjunct)], whole=False)
            return self._about_disjunct(Verdict(True, claim, kernel="coq"))
        else:
            raise refused("a claim without a theorem", str(claim)[:40])
        return Verdict(True, claim, kernel="coq")

    def pair(self, reduced: Network) -> Verdict:
        """What is claimed of two networks: that they are near each other."""
        reader, claim = self.reader, self.reader.field(self.reader.head, "claim")
        if claim not in ("equivalent", "equisatisfiable"):
            raise refused("a claim without a theorem", str(claim)[:40])
        if (reduced.input_size, reduced.output_size) != (self.network.input_size, self.network.output_size):
            raise RejectedError("check/arity", "networks have other numbers of inputs or outputs")
        self._require_sizes(outputs=claim == "equisatisfiable")
        inputs = claim == "equivalent"
        questions = of_inputs(self.specification.domain) if inputs else [where_disjunct(*self._disjunct())]
        epsilon = reader.floats(reader.head, "epsilon", (self.network.output_size,), 0.0)
        told: list[float] = epsilon.tolist()
        signs = claimed_signs(self.network, reader)
        problem = integers(self.network, questions, reduced, told, signs)
        text = _text(problem.numbers())
        require_same(text, self.network, questions, reduced, told, signs)
        self._ask("near", text, comparison_proof(self.network, reduced, problem, reader))
        verdict = Verdict(True, claim, float(np.max(epsilon, initial=0.0)), tuple(told), kernel="coq")
        return verdict if inputs else self._about_disjunct(verdict)

    def _unsat(self, questions: list[Question], *, whole: bool) -> None:
        network, reader = self.network, self.reader
        problem = integers(network, questions)
        text = _text(problem.numbers())
        require_same(text, network, questions)
        proof = property_proof(network, self.specification.cases, problem, reader) if whole else None
        self._ask("unsat", text, disjunct_proof(network, problem, reader) if proof is None else proof)

    def _sat(self) -> None:
        """K-14: the first disjunct that holds, as it seems here, is what the program is asked about."""
        reader = self.reader
        case = self.specification.cases[reader.integer(reader.head, "case", 1, len(self.specification.cases)) - 1]
        x = reader.rationals(reader.head, "input", self.network.input_size)
        y = outputs_exact(self.network, x)
        number = next((k for k, rows in enumerate(case.unsafe) if all(row.holds(x, y) for row in rows)), None)
        if number is None:
            message = "the outputs at the input do not satisfy the property's condition"
            raise RejectedError("check/not-satisfied", message)
        rows = rows_of_point(case, number)
        text = _text(point_numbers(self.network, rows))
        require_same_point(text, self.network, rows)
        denominator = lcm(*(v.denominator for v in x))
        self._ask("sat", text, [denominator, *listed(int(v * denominator) for v in x)])

    def _disjunct(self) -> tuple[Case, int]:
        """The case that a certificate names, and the disjunct within it, from 0."""
        reader, cases = self.reader, self.specification.cases
        case = cases[reader.integer(reader.head, "case", 1, len(cases)) - 1]
        return case, reader.integer(reader.head, "disjunct", 1, len(case.unsafe)) - 1

    def _about_disjunct(self, verdict: Verdict) -> Verdict:
        head = self.reader.head
        return replace(verdict, case=self.reader.field(head, "case"), disjunct=self.reader.field(head, "disjunct"))

    def _require_sizes(self, *, outputs: bool) -> None:
        specification, network = self.specification, self.network
        wrong = outputs and specification.output_size != network.output_size
        if wrong or specification.domain.size != network.input_size:
            raise RejectedError("check/arity", "the property is about another network")

    def _ask(self, claim: str, problem: str, proof: Iterable[int]) -> None:
        """Write both files, and ask.

        Raises:
            RejectedError: `check/kernel`, where the program does not accept the proof.
        """
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("problem", "proof")]
            for file, text in zip(files, (problem, _text(proof)), strict=True):
                file.write_text(text, "ascii")
            command = [self.program, claim, *map(str, files)]
            found = subprocess.run(command, capture_output=True, text=True, check=False)
        if (found.returncode, found.stdout) != (0, "verified\n"):
            why = found.stderr.strip()[-200:] or found.stdout.strip()
            message = "the checker that is proved in Coq does not accept the proof"
            raise RejectedError("check/kernel", message, value=why)


def _text(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers)) + "\n"
