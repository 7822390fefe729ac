"""Two networks on one box as one system of rows: what they share is written once, the rest as differences.

Both networks are brought to their normal form on the box (specs/equivalence.md, E-1): rows of *kept* units over the
inputs and earlier kept units.  Kept units of f and g are paired; of a pair the system has the unit of g and the
*difference* f - g, so that what both have in common cancels in the coefficients, not in the bounds (ReluDiff, Paulsen
et al. 2020, arXiv 2001.03662; VeryDiff, Teuber et al. 2024, arXiv 2410.20207).  Units without partner stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds import Bounds
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.matching import match_units
from eqverify.network import UNIT_ROUNDOFF, Network, gamma
from eqverify.network.evaluate import UNDERFLOW
from eqverify.normal_form.building import box_form
from eqverify.normal_form.form import NormalForm
from eqverify.normal_form.simplify import simplify

_COPY = 1e-6
"""Active units are copies of each other where their rows differ by less than this share of what they can amount to."""

_LARGE = 3000
"""Where both networks together have more units that are not inactive, copies are not looked for."""

_PARALLEL = 1e-12
"""Units are merged where their rows are multiples of each other up to this share of what they can amount to, whatever
errors the rows have from being composed; those whose rows show their sign up to this share are folded."""

_SLIVER = 1e-6
"""A unit whose other sign is at most this share of its range may count as stable, at the price of an error."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Units whose rows read the inputs and earlier levels only; three blocks one after the other.

    Attributes:
        g: number of units of g (kept ones, paired or not): pre-activations z_g.
        pairs: number of pairs: differences z_f - z_g.
        lone: number of units of f without partner: pre-activations z_f.
        partner: (pairs,) which of this level's units of g a pair is about.
        inputs: (g + pairs + lone, input_size).
        constant: (g + pairs + lone,)
        sources: by number of an earlier level, the coefficients on its g, difference and lone outputs.
        error: (g + pairs + lone,) beyond the relative error of one rounding of each coefficient.
        lower: (g + lone,) proved bounds of z_g, then of the lone z_f, on the whole box.
        upper: (g + lone,)
        f_lower: (pairs,) proved bounds of z_f of the pairs.
        f_upper: (pairs,)
    """

    g: int
    pairs: int
    lone: int
    partner: IntArray
    inputs: FloatArray
    constant: FloatArray
    sources: Mapping[int, FloatArray]
    error: FloatArray
    lower: FloatArray
    upper: FloatArray
    f_lower: FloatArray
    f_upper: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """The system of rows of two networks on a box.

    Attributes:
        levels: in topological order.
        target: the rows of the goals, as a level without units.
        f: normal form of f.
        g: normal form of g.
        paired: (units of f,) the unit of g that each is paired with, -1 for none.
        units: per level, its units of g, its paired units of f and its lone units of f, as numbered in g and f.
    """

    levels: tuple[Level, ...]
    target: Level
    f: NormalForm
    g: NormalForm
    paired: IntArray
    units: tuple[tuple[IntArray, IntArray, IntArray], ...]

    @property
    def unpaired(self) -> tuple[IntArray, IntArray]:
        """The units of f and of g without partner, (k, 2) each: number of the ReLU layer and number there."""
        alone = np.setdiff1d(np.arange(len(self.g.rows)), self.paired)
        return self.f.origin[self.paired < 0], self.g.origin[alone]


def make_joint(
    networks: tuple[Network, Network],
    bounds: tuple[Bounds, Bounds],
    goals: PairGoals,
    tick: Callable[[], None] = lambda: None,
) -> Joint:
    """Normal forms, pairs and differences.

    Args:
        networks: f and g, of one input size.
        bounds: proved intervals of all nodes of each on the box, (1, n) each.
        goals: the question; its rows become the target.
        tick: called for each node of each network; raises to stop.
    """
    sizes = [[network.sizes[node.name] for node in network.relus] for network in networks]
    alike = sizes[0] == sizes[1]
    sides = list(zip(networks, bounds, strict=True))
    signs = [relu_signs(network, known, 0.0 if alike else _SLIVER) for network, known in sides]
    if alike:
        # A unit is folded where both networks agree on its sign, so that rows stay comparable.
        same = [(one == other) & (one != 0) for one, other in zip(*signs, strict=True)]
        f, g = (box_form(*side, own, same, tick) for side, own in zip(sides, signs, strict=True))
        return _Layout(f, g, np.arange(len(f.rows)), goals).joint()
    f, g = (
        _merged(box_form(*side, own, _folded(own, copied), tick))
        for side, own, copied in zip(sides, signs, _copies(sides, signs, tick), strict=True)
    )
    return _Layout(f, g, match_units(f, g), goals).joint()


def relu_signs(network: Network, bounds: Bounds, sliver: float = 0.0) -> list[IntArray]:
    """Per ReLU layer, (n,): 1 where z >= 0 is proved, -1 where z <= 0 is, else 0.

    Args:
        network: the network.
        bounds: proved intervals of all nodes on the box, (1, n) each.
        sliver: how much of the other sign is put up with, as a share of the unit's range.
    """
    signs = []
    for node in network.relus:
        lower, upper = bounds[node.source].lower[0], bounds[node.source].upper[0]
        with np.errstate(invalid="ignore"):
            tiny = np.nan_to_num(sliver * (upper - lower), nan=0.0, posinf=0.0)
        signs.append(np.where(upper <= tiny, -1, np.where(lower >= -tiny, 1, 0)))
    return signs


def _merged(form: NormalForm) -> NormalForm:
    """The form in which parallel units are one, and no unit is there that its row shows to be linear, or nothing reads.

    Units are on the earliest level that they can be on, so that networks that were made differently look alike.
    """
    return simplify(form, _PARALLEL).tightened().earliest().compact()


def _copies(
    sides: list[tuple[Network, Bounds]], signs: list[list[IntArray]], tick: Callable[[], None]
) -> list[IntArray]:
    """The units of f and of g that may be active and have a copy in the other, (k, 2) each; none of large networks.

    Looking for them takes rows over all units that are not inactive, and what is gained is rounding.
    """
    counts = [sum(int((sign >= 0).sum()) for sign in own) for own in signs]
    if not min(counts) or sum(counts) > _LARGE:
        return [np.zeros((0, 2), dtype=np.int64)] * 2
    raw = [
        _merged(box_form(*side, own, [sign < 0 for sign in own], tick)) for side, own in zip(sides, signs, strict=True)
    ]
    paired = match_units(raw[0], raw[1], close=_COPY, plain=False)
    return [raw[0].origin[paired >= 0], raw[1].origin[paired[paired >= 0]]]


def _folded(signs: list[IntArray], copies: IntArray) -> list[BoolArray]:
    """The stable units that are not kept: all but active ones with a copy in the other network, (layer, unit) each.

    A copy costs nothing, neither bounds nor rounding, where folding both would compose their rows twice.
    """
    folded = [sign != 0 for sign in signs]
    for layer, unit in copies.tolist():
        folded[layer][unit] = False
    return folded


class _Layout:
    """Where everything stands in the joint state  (g, differences, lone)  of all levels."""

    def __init__(self, f: NormalForm, g: NormalForm, paired: IntArray, goals: PairGoals) -> None:
        self.f, self.g, self.paired, self.goals = f, g, paired, goals
        self.inputs = goals.sizes[0]
        self.units = [self._units(*stage) for stage in _stages(f, g, paired)]
        self.size = sum(len(own) + len(pairs) + len(lone) for own, pairs, lone in self.units)
        self.place_g, self.place_d, self.place_l = (np.full(n, -1) for n in (len(g.rows), len(f.rows), len(f.rows)))
        self.slices, start = [], 0
        for own, pairs, lone in self.units:
            begin = start
            for units, place in ((own, self.place_g), (pairs, self.place_d), (lone, self.place_l)):
                place[units] = start + np.arange(len(units))
                start += len(units)
            self.slices.append(slice(begin, start))

    def _units(self, f_level: int | None, g_level: int | None) -> tuple[IntArray, IntArray, IntArray]:
        """Units of g, paired units of f, lone units of f of a stage."""
        own = np.flatnonzero(self.g.level == (-1 if g_level is None else g_level))
        of_f = np.flatnonzero(self.f.level == (-1 if f_level is None else f_level))
        return own, of_f[self.paired[of_f] >= 0], of_f[self.paired[of_f] < 0]

    def on_g(self, rows: FloatArray) -> FloatArray:
        """Coefficients on g's kept units, (k, units of g), as ones on the joint state."""
        result = np.zeros((len(rows), self.size))
        result[:, self.place_g] = rows
        return result

    def on_f(self, rows: FloatArray) -> FloatArray:
        """Coefficients on f's kept units as ones on the joint state:  h_f = h_g + difference."""
        result = np.zeros((len(rows), self.size))
        with_partner = np.flatnonzero(self.paired >= 0)
        alone = np.flatnonzero(self.paired < 0)
        result[:, self.place_g[self.paired[with_partner]]] = rows[:, with_partner]
        result[:, self.place_d[with_partner]] = rows[:, with_partner]
        result[:, self.place_l[alone]] = rows[:, alone]
        return result

    def joint(self) -> Joint:
        head = self.inputs + 1
        f_state, g_state = self.on_f(self.f.rows[:, head:]), self.on_g(self.g.rows[:, head:])
        levels = tuple(self._level(k, f_state, g_state) for k in range(len(self.units)))
        return Joint(levels, self._target(), self.f, self.g, self.paired, tuple(self.units))

    def _level(self, k: int, f_state: FloatArray, g_state: FloatArray) -> Level:
        f, g, n = self.f, self.g, self.inputs
        own, pairs, lone = self.units[k]
        partners = self.paired[pairs]
        state = np.concatenate([g_state[own], f_state[pairs] - g_state[partners], f_state[lone]])
        head = np.concatenate(
            [g.rows[own, : n + 1], f.rows[pairs, : n + 1] - g.rows[partners, : n + 1], f.rows[lone, : n + 1]]
        )
        error = np.concatenate([g.error[own], f.error[pairs] + g.error[partners], f.error[lone]])
        return Level(
            len(own),
            len(pairs),
            len(lone),
            self.place_g[partners] - self.slices[k].start,
            head[:, :n],
            head[:, n],
            self._sources(state, k),
            np.where(error == 0, 0.0, error * (1 + 4 * UNIT_ROUNDOFF)),
            np.concatenate([g.lower[own], f.lower[lone]]),
            np.concatenate([g.upper[own], f.upper[lone]]),
            f.lower[pairs],
            f.upper[pairs],
        )

    def _sources(self, state: FloatArray, before: int) -> dict[int, FloatArray]:
        parts = {k: state[:, self.slices[k]] for k in range(before)}
        return {k: np.ascontiguousarray(part) for k, part in parts.items() if part.any()}

    def _target(self) -> Level:
        """The goals' rows.  Rounding of the products is bounded as a value on the box."""
        goals, n = self.goals, self.inputs
        ends = np.cumsum(goals.sizes)
        a, b = goals.rows[:, ends[0] : ends[1]], goals.rows[:, ends[1] :]
        f, g = self.f, self.g
        state = a @ self.on_f(f.outputs[:, n + 1 :]) + b @ self.on_g(g.outputs[:, n + 1 :])
        head = a @ f.outputs[:, : n + 1] + b @ g.outputs[:, : n + 1]
        head[:, :n] += goals.rows[:, :n]
        reach_f = np.abs(f.outputs) @ f.magnitude
        reach_g = np.abs(g.outputs) @ g.magnitude
        reach = np.abs(a) @ (reach_f + f.output_error) + np.abs(b) @ (reach_g + g.output_error)
        reach = reach + np.abs(goals.rows[:, :n]) @ f.magnitude[:n] + np.abs(goals.constant)
        own = np.abs(a) @ f.output_error + np.abs(b) @ g.output_error
        rounding = gamma(sum(goals.sizes) + max(f.magnitude.size, g.magnitude.size) + 8) * reach
        rounding += UNDERFLOW * (1 + reach_f.sum() + reach_g.sum() + f.magnitude[:n].sum())
        plain = np.isin(goals.rows[:, n:], (-1, 0, 1)).all(axis=1) & ~goals.rows[:, :n].any(axis=1) & ~goals.rounded
        plain &= (np.abs(a).sum(axis=1) <= 1) & (np.abs(b).sum(axis=1) <= 1)
        # One output, or the difference of two: coefficients round once, and so does the constant before epsilon joins.
        joined = np.where((head[:, n] == 0) | (goals.constant == 0), 0.0, 2 * UNIT_ROUNDOFF * np.abs(head[:, n]))
        error = own + np.where(plain, joined, rounding)
        none, nothing = np.zeros(0), np.zeros(0, dtype=np.int64)
        return Level(
            0, 0, 0, nothing, head[:, :n], head[:, n] + goals.constant, self._sources(state, len(self.units)),
            error * (1 + 1e-6), none, none, none, none,
        )  # fmt: skip


def _stages(f: NormalForm, g: NormalForm, paired: IntArray) -> list[tuple[int | None, int | None]]:
    """Levels of f and g in one order that respects both: paired levels together, the others between them."""
    linked: dict[int, int] = {}
    for unit, partner in enumerate(paired.tolist()):
        if partner >= 0:
            linked[int(g.level[partner])] = int(f.level[unit])
    stages: list[tuple[int | None, int | None]] = []
    waiting = [int(level) for level in np.unique(f.level)]
    for g_level in (int(level) for level in np.unique(g.level)):
        f_level = linked.get(g_level)
        while f_level is not None and waiting and waiting[0] < f_level:
            stages.append((waiting.pop(0), None))
        if f_level is not None:
            waiting.remove(f_level)
        stages.append((f_level, g_level))
    return stages + [(level, None) for level in waiting]
