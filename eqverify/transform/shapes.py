"""The registry of shapes: each a way to write a network from facts, with its eps.

To add one, write a function from a `Work` to a `Transformed` and enter it in `REALISATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from eqverify.errors import InputError, Place, UsageError
from eqverify.network import Affine, Convolution, Network, TransposedConvolution
from eqverify.normal_form.building import normal_form
from eqverify.normal_form.form import NormalForm
from eqverify.normal_form.passes import Context, Rewritten
from eqverify.normal_form.relation import Group
from eqverify.normal_form.simplify import DropUnread
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, Status
from eqverify.transform.carriers import sequential_chain
from eqverify.transform.chain import is_chain
from eqverify.transform.deviation import is_single, prove_deviation
from eqverify.transform.grouping import merge_levels
from eqverify.transform.passes import by_passes, simplified
from eqverify.transform.realise import Element, Written, realise, require_finite, residual_network
from eqverify.transform.result import Transformed, TransformOptions
from eqverify.transform.shape_names import Made
from eqverify.transform.structured import read_nodes, structured_network
from eqverify.transform.unit_map import UnitMap

TOLERANCES: dict[Element, tuple[float, ...]] = {"float32": (2.0**-33, 2.0**-20), "float64": (2.0**-44,)}
"""Residuals up to this share of a row's reach count as zero in simplifications, smallest first.  The larger one of
float32 finds what was exact before weights were rounded to that type; it is used where eps stays within its limit."""

_LEO_ENTRIES = 2_000_000
"""LEO's passes are cheap where all layers together have at most so many weights as dense matrices, or twenty times as
many where that is asked for."""

_ROW_ENTRIES = 1 << 26
"""Numbers in rows of the normal form (512 MB), which is copied a few times."""

Writer = Callable[[NormalForm, Network, Element], Written]


@dataclass(frozen=True)
class Work:
    """What shapes are made from.

    Attributes:
        problem: network and domain.
        facts: about it.
        options: of the caller.
        refused: which shapes could not be made, and why.
    """

    problem: Problem
    facts: Facts
    options: TransformOptions
    refused: list[str] = field(default_factory=list)

    @cached_property
    def forms(self) -> tuple[Rewritten[NormalForm], ...]:
        """The normal form simplified with residuals as large as the type's rounding, smaller, and without any.

        Fewest units first; forms with as many units as a later one are left out.
        """
        self._require_room()
        form = normal_form(self.problem, self.facts)
        for own in form.levels():
            require_finite(form.rows[own], self.options.dtype, form.groups(own)[0].source)
        require_finite(form.outputs, self.options.dtype)
        forms = [DropUnread()(form, Context())]
        for tolerance in TOLERANCES[self.options.dtype]:
            simple = simplified(form, self.facts, self.options, tolerance)
            if len(simple.subject) < len(forms[0].subject):
                forms.insert(0, simple)
        return tuple(forms)

    def _require_room(self) -> None:
        """Raise before the rows of kept units and outputs would take too much memory.

        Raises:
            InputError: `transform/too-large`.
        """
        network, facts = self.problem.network, self.facts
        kept, active = facts.count(Status.UNDECIDED) + facts.count(Status.UNSTABLE), facts.count(Status.ACTIVE)
        entries = (kept + network.output_size) * (network.input_size + 1 + kept + active)
        if entries > _ROW_ENTRIES:
            raise InputError(
                "transform/too-large",
                "rows of all units that are kept would take too much memory",
                place=Place(node=max(network.relus, key=lambda r: network.sizes[r.name]).name if kept else None),
                value=f"{entries} numbers, {_ROW_ENTRIES} allowed",
                hint="--shape structured keeps the network's own graph",
            )

    @cached_property
    def keeps_weights(self) -> bool:
        """Whether the network's own graph can be written in the wanted type."""
        return _kept(self.problem.network, self.options.dtype)

    def leo_is_cheap(self, needed: bool) -> bool:
        """Whether the network is a chain whose layers are small enough as dense matrices; `needed` allows for more."""
        network = self.problem.network
        sizes = [network.input_size, *(network.sizes[node.name] for node in network.relus), network.output_size]
        entries = sum(a * b for a, b in pairwise(sizes))
        return is_chain(network) and entries <= _LEO_ENTRIES * (20 if needed else 1)


def _kept(network: Network, element: Element) -> bool:
    """Whether a network's weights are of a type, and onnxruntime runs it so: it has no float64 convolution."""
    if element == "float32":
        return is_single(network)
    affine = [node for node in network.nodes if isinstance(node, Affine)]
    maps = [term.map for node in affine for term in node.terms]
    return not any(isinstance(linear, Convolution | TransposedConvolution) for linear in maps)


def require_shape(problem: Problem, options: TransformOptions) -> None:
    """Raise where the shape that is asked for cannot be written, whatever is proved.

    Raises:
        UsageError: `usage/shape`.
    """
    if options.shape == "structured" and not _kept(problem.network, options.dtype):
        raise UsageError(
            "usage/shape",
            "the structured shape keeps the network's weights, which cannot be written in this type",
            value=options.dtype,
            hint="LeakyReLU and the like stand for weights that are no float32 numbers, and convolutions are run in "
            "float32 only: choose another shape, or type",
        )


def _from_form(work: Work, made: Made, write: Writer) -> Transformed:
    """Write the simplest form whose eps is within its limit, or else the one that was not simplified."""
    problem, facts = work.problem, work.facts
    for form in work.forms:
        network, unit_maps = write(form.subject, problem.network, work.options.dtype)
        epsilon = prove_deviation(problem, facts, network, unit_maps, form.relations)
        found = Transformed(network, unit_maps, epsilon, made, "", form.relations, form.removed, form.declined)
        if found.worst <= work.options.max_epsilon:
            break
    return found


def _sequential(work: Work) -> Transformed:
    """A chain whose layers carry past themselves what later ones need; units are in their own layer or the earliest.

    Whichever of the two has fewer units: a unit in an earlier layer spares the carrier of its row there, and may need
    one for its value afterwards (statement C-2).
    """

    def write(form: NormalForm, original: Network, element: Element) -> Written:
        candidates = [form]
        early = form.earliest()
        if [own.size for own in early.levels()] != [own.size for own in form.levels()]:
            candidates.append(early)
        chains = [sequential_chain(merge_levels(leveled, element), element) for leveled in candidates]
        return realise(min(chains, key=lambda chain: chain.relu_count), original, element)

    return _from_form(work, "sequential", write)


def _residual(work: Work) -> Transformed:
    """The form as it is, in as few layers as it allows."""

    def write(form: NormalForm, original: Network, element: Element) -> Written:
        return residual_network(form.earliest(), original, element)

    return _from_form(work, "residual", write)


def _structured(work: Work) -> Transformed:
    """The original's graph without channels and units that show nothing; the network itself where that is all.

    Raises:
        UsageError: as `require_shape`.
    """
    problem, network = work.problem, work.problem.network
    require_shape(problem, work.options)
    reduced, unit_maps = structured_network(problem, work.facts)
    if reduced.parameter_count == network.parameter_count and reduced.relu_count == network.relu_count:
        return unchanged(problem)
    epsilon = prove_deviation(problem, work.facts, reduced, unit_maps)
    if not np.isfinite(epsilon).all():
        return unchanged(problem)
    return Transformed(reduced, unit_maps, epsilon, "structured")


def unchanged(problem: Problem) -> Transformed:
    """The network itself, without nodes that nothing reads."""
    network, read = problem.network, read_nodes(problem.network)
    if len(read) < len(network.nodes):
        network = Network(network.inputs, read, network.outputs)
    return _as_is(network)


def whole(problem: Problem) -> Transformed:
    """The network itself, with all nodes."""
    return _as_is(problem.network)


def _as_is(network: Network) -> Transformed:
    unit_maps = {relu.name: UnitMap((Group(relu.name, np.arange(network.sizes[relu.name])),)) for relu in network.relus}
    return Transformed(network, unit_maps, np.zeros(network.output_size), "unchanged")


def _leo(work: Work) -> Transformed:
    """LEO's passes."""
    return by_passes(work.problem, work.facts, work.options)


REALISATIONS: dict[str, Callable[[Work], Transformed]] = {
    "sequential": _sequential,
    "residual": _residual,
    "structured": _structured,
    "leo": _leo,
}
"""Ways to write a network, by name."""
