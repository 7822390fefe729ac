"""A network together with the property it is to be judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from eqverify.arrays import FloatArray
from eqverify.domain import (
    Assumption,
    Case,
    Declaration,
    Domain,
    NetworkSignature,
    Specification,
    assumed_inputs,
    box_domain,
)
from eqverify.errors import InputError, Place
from eqverify.network import Network
from eqverify.network.tail import OpaqueTail
from eqverify.reading import Reading


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, its input domain, and the output condition by parts of the domain.

    >>> import eqverify as eq
    >>> problem = eq.load_problem(*eq.example_files())
    >>> problem.relu_count, problem.domain.size
    (120, 64)

    Attributes:
        network: the network, normalised where it was read from a file (M-6); where there is a tail, the part before
            it, whose outputs are the tensors at the cut.
        specification: what the property file says; its arity fits the network.  Where there is a tail, its outputs are
            those of the whole model and are not compared.
        tail: what follows the network in its file, None for nothing.
        assumed: in property-directed mode, constraints on inputs and outputs: facts are then about the inputs of the
            domain that satisfy them, and eps is.
        disjunct: which disjunct of the property in the files is assumed: number of the case and within it, from 1.
        files: SHA-256 (hex) of the bytes of the files ``network`` and ``property``, for those that were read.
        stored: the network node by node as its file says it, where that is another one: what a run computes.
        reading: how far the network was compared with runs of its file.
        ordered: whether the whole model's outputs are not those of the network, but stand in their order: the condition
            compares outputs only.

    Raises:
        InputError: `problem/arity` where inputs or outputs of property and network differ in number,
            `problem/networks` for a property of several networks.
    """

    network: Network
    specification: Specification
    tail: OpaqueTail | None = None
    assumed: Assumption | None = None
    disjunct: tuple[int, int] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    stored: Network | None = None
    reading: Reading = field(default_factory=Reading)
    ordered: bool = False

    def __post_init__(self) -> None:
        specification, network = self.specification, self.network
        place = Place(file=specification.source)
        if len(specification.networks) != 1:
            raise InputError(
                "problem/networks",
                "the property is about several networks",
                place=place,
                value=", ".join(signature.name for signature in specification.networks),
                hint="a reduction takes a property of one network",
            )
        pairs = [
            ("input", specification.input_size, network.input_size),
            ("input", specification.domain.size, network.input_size),
        ]
        # A property that declares no outputs only describes inputs.
        if specification.networks[0].outputs and self.tail is None:
            pairs.append(("output", specification.output_size, network.output_size))
        for kind, declared, actual in pairs:
            if declared != actual:
                raise InputError(
                    "problem/arity",
                    f"the property declares another number of {kind}s than the network has",
                    place=place,
                    value=f"{declared} declared, {actual} in the network",
                    hint="check that property and network belong together",
                )

    def __repr__(self) -> str:
        network, count = self.network, sum(len(case.unsafe) for case in self.cases)
        sizes = f"{network.input_size} inputs, {network.output_size} outputs"
        return f"<Problem: {self.relu_count} ReLUs, {sizes}, {count} disjuncts>"

    @property
    def relu_count(self) -> int:
        """ReLUs before anything was done: of the file where the network was read from one."""
        return self.network.relu_count + self.reading.folded

    @property
    def parameter_count(self) -> int:
        """Likewise weights."""
        return self.network.parameter_count + self.reading.folded_weights

    @property
    def cases(self) -> tuple[Case, ...]:
        """Parts of the input set with their output conditions."""
        return self.specification.cases

    @cached_property
    def domain(self) -> Domain:
        """The union of all parts of the input set."""
        return self.specification.domain

    def given(self, part: int) -> Assumption | None:
        """The constraints that hold on one part of the domain beside its box, on inputs and outputs; None for none."""
        polytope = self.domain.polytopes[part]
        if self.assumed is not None:
            return self.assumed.with_inputs(polytope.matrix, polytope.bound)
        if polytope.is_box:
            return None
        return assumed_inputs(polytope.matrix, polytope.bound, self.network.output_size)

    @cached_property
    def domain_digest(self) -> str:
        """SHA-256 (hex) of the inputs that facts are about: of the domain, and of what is assumed."""
        if self.assumed is None:
            return self.domain.digest
        return hashlib.sha256(f"eqverify-directed-1 {self.domain.digest} {self.assumed.digest}".encode()).hexdigest()


def domain_problem(network: Network, domain: Domain) -> Problem:
    """A problem without output condition (never satisfied): for reductions on a domain made in memory."""
    signature = NetworkSignature(
        "N",
        (Declaration("X", "Real", (network.input_size,)),),
        (Declaration("Y", "Real", (network.output_size,)),),
    )
    return Problem(network, Specification((signature,), tuple(Case(part, ()) for part in domain.polytopes)))


def box_problem(network: Network, lower: FloatArray, upper: FloatArray) -> Problem:
    """`domain_problem` for the single box [lower, upper], both (input_size,)."""
    return domain_problem(network, box_domain(lower, upper))
