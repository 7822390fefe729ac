"""What has been seen of a model's file besides reading it: runs of it, compared with the network that was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from eqverify.arrays import FloatArray

Probe = Callable[[FloatArray], tuple[int, str]]
"""Runs the file at points (k, input_size): how many were compared, and why not all; raises where they differ."""

Model = Callable[[], bytes | None]
"""The bytes of a model, unpacked and with the weights beside it in it, if its file is still what was read."""


READ_BY = ", which is read by "
"""In `Reading.unmodelled`, between an operator and the other package that says what it means."""

SIMPLIFIED = "what was simplified while reading"
"""Why a normalised network does not tell how a run of its file rounds; the stored one does."""


@dataclass(slots=True)
class Reading:
    """The comparisons of one file with the network that was read from it, so far.

    Attributes:
        probe: runs the file; None where there is none, or where it cannot be run.
        points: how many points were compared; the network is the file's at each of them, or there was an error.
        reason: why there is no comparison, or not at all points; empty otherwise.
        rounded: tensors of the file whose numbers no float64 can hold: they mean the nearest ones instead, and so does
            what is said about the network (specs/onnx.md).
        model: gives the bytes of the file; None where there is none.
        folded: ReLUs of the file that the network does without, being superfluous for all inputs (M-6).
        folded_weights: weights that went with them.
        unmodelled: operators of the file whose rounding in a run its network does not tell, so that nothing is said
            about runs (specs/runtime.md); a network made in memory has no run.
    """

    probe: Probe | None = field(default=None, repr=False, compare=False)
    points: int = 0
    reason: str = "the network was made in memory"
    rounded: tuple[str, ...] = ()
    model: Model | None = field(default=None, repr=False, compare=False)
    folded: int = 0
    folded_weights: int = 0
    unmodelled: tuple[str, ...] = ("no file",)

    def compare(self, points: FloatArray) -> None:
        """Compare at further points.

        Args:
            points: (k, input_size).

        Raises:
            InputError: `read/differs` where the file's run and the network differ.
        """
        if self.probe is None or not len(points):
            return
        compared, self.reason = self.probe(points)
        self.points += compared
        if self.points == 0 and self.reason:  # it cannot be run; asking again costs as much and tells no more
            self.probe = None

    @property
    def foreign(self) -> list[str]:
        """Operators whose meaning rests on the word of another package, with its name."""
        return [name for name in self.unmodelled if READ_BY in name]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "compared": self.points > 0,
            "points": self.points,
            "reason": self.reason or None,
            "rounded": list(self.rounded),
            "folded": self.folded,
            "foreign": self.foreign,
        }

    def __str__(self) -> str:
        shown = ", ".join(self.rounded[:3]) + (", ..." if len(self.rounded) > 3 else "")
        rounded = f"; numbers mean the nearest float64 in {shown}" if self.rounded else ""
        rounded += f"; {self.folded} ReLUs less, exactly, for all inputs" if self.folded else ""
        rounded += f"; trusted without a proof: {', '.join(self.foreign)}" if self.foreign else ""
        if not self.points:
            return f"NOT compared with onnxruntime: {self.reason or 'no points'}{rounded}"
        left = f"; not everywhere: {self.reason}" if self.reason else ""
        return f"as onnxruntime runs it, at {self.points} points{left}{rounded}"
