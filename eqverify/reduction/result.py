"""What `reduce` makes, and how it becomes files: a network, the property for it, its certificate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqverify.arrays import IEEE, FloatArray
from eqverify.errors import InputError, UsageError
from eqverify.files import parts_of, write_files
from eqverify.frames import frame
from eqverify.network import Network
from eqverify.network.tail import OpaqueTail
from eqverify.numerals import at_most
from eqverify.options import Element, keywords
from eqverify.problem import Problem
from eqverify.reduction.folding import element_of, fold_case, folded_bytes
from eqverify.reduction.options import Version
from eqverify.report.claims import DIRECTED_CLAIM
from eqverify.report.layers import LayerRow, layer_rows
from eqverify.stability.facts import Facts, Status
from eqverify.transform.result import Transformed

if TYPE_CHECKING:
    from eqverify.equivalence.answer import Equivalence
    from eqverify.equivalence.exact import CrossCheck
    from eqverify.export.runtime import RuntimeComparison
    from eqverify.reduction.certifying import Certified

Files = dict[Path, bytes | str]
"""What is to be written, by path."""


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """What to write beside networks.

    Attributes:
        property: where to write the property for the reduced network: output constraints are relaxed by eps, so that
            what is unsatisfiable for the reduced network is unsatisfiable for the original.  An input that satisfies
            it is a candidate to be replayed on the original.
        fold_property: append the output condition to the network as a last affine layer, so that the property says
            `(<= Y_k 0.0)` only.  Parts of the input set become a pair of files each, numbered before the suffix: the
            property holds of the original if it does for each pair.
        property_version: of the property's text; by default 1.0 where it is folded, else that of the input.
        certificate: where to write the certificate of the ONNX file (not of folded ones).
    """

    property: str | Path | None = None
    fold_property: bool = False
    property_version: Version | None = None
    certificate: str | Path | None = None

    def __post_init__(self) -> None:
        if self.fold_property and self.property is None:
            hint = "name the file for the property too (--property-out)"
            raise UsageError("usage/fold-property", "a folded property needs a place of its own", hint=hint)

    def numbered(self, count: int) -> list[SaveOptions]:
        """Those of each of several networks, without certificates."""
        properties = [None] * count if self.property is None else numbered(Path(self.property), count)
        return [SaveOptions(path, self.fold_property, self.property_version) for path in properties]


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """A reduced network, as it will be written, with what is proved about it.

    >>> import eqverify as eq
    >>> result = eq.reduce(*eq.example_files(), engine="crown")
    >>> result
    <Reduction: 120 -> 40 ReLUs, 5410 -> 1535 weights, eps 8.66e-07, sequential>
    >>> result.epsilon < 1e-6, result.claim
    (True, 'equivalent')
    >>> centre = result.problem.domain.hull.centre
    >>> bool((abs(result.network(centre) - result.problem.network(centre)) < 1e-6).all())
    True

    Attributes:
        problem: the original network on its domain.
        facts: what is known about its units.
        transformed: the rewrites, with their record.
        data: the bytes of the ONNX file, with the problem's tail if there is one.
        network: the network read back from those bytes, without the tail.
        epsilons: (output_size,) proved bounds on |original - network| over the domain, or over those of its inputs that
            satisfy what the problem assumes; with a tail, at the cut.
        runs: (output_size,) proved bounds on |run of the original - run of `network`| in float32, or None, and why.
        runtime: how onnxruntime's run of `data` compares with `network`.
        cross_check: the answer of Z3 or of the equivalence portfolio, where one was asked.
        certificate: the certificate with the checker's verdict, where one was asked for.
        seconds: measured wall time by stage.
        witness: (input_size,) an input that satisfies the output condition, where one was looked for and found.
    """

    problem: Problem
    facts: Facts
    transformed: Transformed
    data: bytes
    network: Network
    epsilons: FloatArray
    runs: tuple[FloatArray | None, str]
    runtime: RuntimeComparison
    cross_check: CrossCheck | Equivalence | None
    certificate: Certified | None
    seconds: Mapping[str, float]
    witness: FloatArray | None = None

    def __repr__(self) -> str:
        new = self.network
        weights = f"{self.problem.parameter_count} -> {new.parameter_count} weights"
        sizes = f"{self.problem.relu_count} -> {new.relu_count} ReLUs, {weights}"
        return f"<Reduction: {sizes}, eps {at_most(self.epsilon)}, {self.transformed.shape}>"

    def _repr_html_(self) -> str:
        """What notebooks show: the picture of `plot`, and the table of layers."""
        from eqverify.report.page import layers_html

        return layers_html(self.layers, self._title())

    def to_frame(self) -> Any:
        """A `pandas.DataFrame` with a row per layer of the original: its table.

        Raises:
            UsageError: `usage/no-pandas`.
        """
        rows = [row.as_dict() for row in self.layers]
        return frame({name: [row[name] for row in rows] for name in (rows[0] if rows else ())})

    @property
    def epsilon(self) -> float:
        """The largest of `epsilons`."""
        return float(self.epsilons.max(initial=0.0))

    @property
    def epsilon_float32(self) -> float | None:
        """The largest bound on the difference of float32 runs, None where there is none."""
        return None if self.runs[0] is None else float(self.runs[0].max(initial=0.0))

    @property
    def exact_epsilons(self) -> list[Fraction]:
        """`epsilons` as rationals."""
        return [Fraction(value) for value in self.epsilons.tolist()]

    @property
    def claim(self) -> str:
        """What is proved: ``equivalent``, or `DIRECTED_CLAIM` where the problem assumes constraints."""
        return "equivalent" if self.problem.assumed is None else DIRECTED_CLAIM

    @property
    def dtype(self) -> Element:
        """The type of the written weights."""
        return element_of(self.network)

    @property
    def layers(self) -> tuple[LayerRow, ...]:
        """The table of layers."""
        kept: dict[str, tuple[int, int]] = {}
        for unit_map in self.transformed.unit_maps.values():
            for group in unit_map.groups:
                units, carriers = kept.get(group.source, (0, 0))
                # carriers are listed with the last layer that they pass
                passing = len(unit_map.carriers) if group is unit_map.groups[-1] else 0
                kept[group.source] = (units + group.units.size, carriers + passing)
        return layer_rows(self.facts, kept)

    @property
    def certified(self) -> bool:
        """Whether nothing rests on a solver's word."""
        return not self.facts.trusts

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        return {
            "claim": self.claim,
            "relus_before": self.problem.relu_count,
            "relus_after": self.network.relu_count,
            "layers": [row.as_dict() for row in self.layers],
            "witnessed_unstable": self.facts.count(Status.UNSTABLE),
            "epsilon": self.epsilon,
            "epsilons": self.epsilons.tolist(),
            "epsilon_float32": self.epsilon_float32,
            "epsilons_float32": None if self.runs[0] is None else self.runs[0].tolist(),
            "no_epsilon_float32": self.runs[1] or None,
            "evidence": self.facts.evidence_counts(),
            "claimed": self.facts.claimed,
            "certified": self.certified,
            "trust": sorted(self.facts.trust),
            "solver": self.facts.solver or None,
            "parameters_before": self.problem.parameter_count,
            "parameters_after": self.network.parameter_count,
            "stages": [stage.as_dict() for stage in self.facts.stages],
            "gained_nothing": self.facts.gained_nothing,
            "epsilon_of": "outputs" if self.problem.tail is None else "cut",
            "opaque": [] if self.problem.tail is None else list(self.problem.tail.operators),
            "shape": self.transformed.shape,
            "choice": self.transformed.choice,
            "products_before": self.problem.network.products,
            "products_after": self.network.products,
            "handed_on": self.transformed.handed_on,
            "witness": None if self.witness is None else self.witness.tolist(),
            "went": dict(Counter(unit.what for unit in self.transformed.removed)),
            "declined": [
                {"pass": d.rewrite, "layer": d.layer, "units": list(d.units), "reason": d.reason}
                for d in self.transformed.declined
            ],
            "runtime": {
                "points": self.runtime.points,
                "largest_deviation": self.runtime.largest_deviation,
                "largest_allowed": self.runtime.largest_allowed,
                "worst_ratio": self.runtime.worst_ratio,
            },
            "cross_check": self.confirmation,
            "certificate": None if self.certificate is None else self.certificate.as_dict(),
            "reading": self.problem.reading.as_dict(),
            "seconds": dict(self.seconds),
        }

    @property
    def confirmation(self) -> str | None:
        """What the cross-check said: its verdict, or ``claimed`` where that is Z3's word."""
        if self.cross_check is None:
            return None
        return "claimed" if getattr(self.cross_check, "claimed", False) else self.cross_check.verdict

    def explain(self) -> str:
        """What was tried, and for every kept unit a line that says why it is still there."""
        from eqverify.report.explain import explain

        return explain(self.facts, self.transformed)

    def plot(self, path: str | Path) -> None:
        """Write a picture of the layers before and after (.svg, .png, .pdf)."""
        from eqverify.report.plot import plot_layers

        plot_layers(self.layers, path, self._title())

    def _title(self) -> str:
        before, after = self.problem.relu_count, self.network.relu_count
        return f"{before} ReLUs before, {after} after; eps = {at_most(self.epsilon, 2)}"

    def files(self, path: Path, options: SaveOptions) -> Files:
        """What `save` writes; same errors."""
        certificate = self.certificate
        if options.certificate is not None and (certificate is None or options.fold_property):
            raise UsageError(
                "usage/certificate",
                "there is no certificate of what is to be written",
                hint="reduce with certificate=True, and write the property without folding it",
            )
        if options.fold_property and options.property is not None:
            files = _folded_files(self, path, Path(options.property), options.property_version)
        else:
            files = _files(self, path, options)
        if options.certificate is not None and certificate is not None:
            files[Path(options.certificate)] = certificate.data
        return files

    @keywords(SaveOptions)
    def save(self, path: str | Path, options: SaveOptions) -> tuple[Path, ...]:
        """Write the ONNX file, the property for it and the certificate; an existing file is replaced in one step.

        Args:
            path: the ONNX file.
            options: the keywords are those of `SaveOptions`.

        Returns:
            The files written: a network, or networks each followed by its property.

        Raises:
            UsageError: the folder does not exist or cannot be written to; `usage/fold-property` for `fold_property`
                without `property`; `usage/certificate` for a certificate that was not asked for when reducing, or with
                `fold_property`.
            InputError: `reduce/property-opaque` where the network ends in operators that are not piecewise linear, so
                that eps says nothing about the outputs; `export/...` where the property cannot be written.
        """
        files = self.files(Path(path), options)
        write_files(files)
        return tuple(files)


@IEEE
def _files(reduction: Reduction, network: Path, options: SaveOptions) -> Files:
    """The network, and the property relaxed by eps (specs/rewrites.md, P-1)."""
    from eqverify.export.property import relax_specification
    from eqverify.export.vnnlib import format_specification

    if options.property is None:
        return {network: reduction.data}
    problem, specification = reduction.problem, reduction.problem.specification
    if problem.tail is None:
        specification = relax_specification(specification, reduction.exact_epsilons)
    elif reduction.epsilon > 0:
        raise _opaque(problem.tail)
    return {
        network: reduction.data,
        Path(options.property): format_specification(specification, options.property_version),
    }


@IEEE
def _folded_files(reduction: Reduction, network: Path, property: Path, version: Version | None) -> Files:
    """A network with the output condition folded into it, and its property, for each case (P-2)."""
    from eqverify.export.vnnlib import format_specification

    problem = reduction.problem
    if problem.tail is not None:
        raise _opaque(problem.tail)
    files: Files = {}
    places = [numbered(path, len(problem.cases)) for path in (network, property)]
    for case, place, query in zip(problem.cases, *places, strict=True):
        folded = fold_case(reduction.network, case, reduction.exact_epsilons, reduction.dtype)
        files[place] = folded_bytes(problem.network, folded, case, reduction.dtype)
        files[query] = format_specification(folded.specification, version or "1.0")
    return files


def _opaque(tail: OpaqueTail) -> InputError:
    return InputError(
        "reduce/property-opaque",
        "the property cannot be carried over: eps is proved before operators that are not piecewise linear",
        value=", ".join(tail.operators),
        hint="write the network without the property",
    )


class Reductions(ABC):
    """Several reductions of one problem, written as numbered files."""

    __slots__ = ()

    @property
    @abstractmethod
    def written(self) -> Sequence[Reduction]:
        """Those that are written, in order."""

    @abstractmethod
    def more_files(self, path: Path, files: Sequence[Sequence[Path]], options: SaveOptions) -> Mapping[Path, bytes]:
        """What is written beside the `files` of each reduction."""

    @keywords(SaveOptions)
    def save(self, path: str | Path, options: SaveOptions) -> tuple[tuple[Path, ...], ...]:
        """Write each reduction, its property, and what belongs to them all, or nothing; existing files are replaced.

        A single one is written to the files named; for several a number is put before the suffixes: ``OUT-1.onnx``,
        ``OUT-2.onnx``, ...

        Args:
            path: the ONNX file.
            options: the keywords are those of `SaveOptions`.

        Returns:
            The files of each.

        Raises:
            UsageError, InputError: as `Reduction.save`.
        """
        count = len(self.written)
        each = zip(self.written, numbered(Path(path), count), options.numbered(count), strict=True)
        parts = [reduction.files(file, own) for reduction, file, own in each]
        files = tuple(tuple(part) for part in parts)
        own = {file: data for part in parts for file, data in part.items()}
        write_files({**own, **self.more_files(Path(path), files, options)})
        return files

    def plot(self, path: str | Path) -> tuple[Path, ...]:
        """Draw the layers before and after for each, into files numbered as those of `save`."""
        files = numbered(Path(path), len(self.written))
        for reduction, file in zip(self.written, files, strict=True):
            reduction.plot(file)
        return files


def numbered(path: Path, count: int) -> tuple[Path, ...]:
    """`path` itself for one file, ``STEM-1.SUFFIX``, ``STEM-2.SUFFIX``, ... for several, none for none.

    >>> [str(file) for file in numbered(Path("out.onnx.gz"), 2)]
    ['out-1.onnx.gz', 'out-2.onnx.gz']
    """
    if count == 1:
        return (path,)
    stem, suffix = parts_of(path)
    return tuple(path.with_name(f"{stem}-{k}{suffix}") for k in range(1, count + 1))
