"""The hunt for wrong answers: random cases, every command, an exact oracle.

    python -m tests.hunt.hunt --seconds 120
    python -m tests.hunt.hunt --cases 100000 --state hunt.json --found found
    python -m tests.hunt.hunt --replay tests/hunt/cases/verify-7-42

A found case is a folder with its files, the commands and what was expected: committed in tests/hunt/cases it is a test.
Exit status 1 where something was found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .hunt_cases import KINDS, Case, draw_case
from .hunt_judging import Judgement, judged
from .hunt_oracle import LeftOutError
from .hunt_running import Late, Ran, limited, run

CASES = Path(__file__).parent / "cases"
PATIENCE = 30
"""Seconds for the oracle."""
APART = 0.003
"""Share of the cases whose commands run in processes of their own: starting one takes longer than most cases."""


@dataclass(slots=True)
class State:
    """How far a hunt is: written after each case, so that it can go on."""

    seed: int
    done: int = 0
    seconds: float = 0.0
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    signs: dict[str, int] = field(default_factory=dict)
    running: bool = False

    def count(self, kind: str, outcome: str) -> None:
        outcomes = self.counts.setdefault(kind, {})
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    def note(self, name: str, faults: Sequence[str]) -> None:
        """Count a found case, and its first fault without the numbers in it."""
        self.found.append(name)
        sign = " ".join(re.sub(r"[-+]?\d[\w.+-]*", "N", faults[0]).split())[:120]
        self.signs[sign] = self.signs.get(sign, 0) + 1

    def save(self, path: Path | None) -> None:
        if path is not None:
            part = path.with_suffix(".part")
            part.write_text(json.dumps(asdict(self)), "utf-8")
            part.replace(path)


def examine(case: Case, folder: Path, apart: bool) -> tuple[list[Ran], Judgement]:
    """Run the commands of a case, and judge what they say; for damaged files only how they end counts."""
    runs = [run(command, folder, apart=apart and command[0][0] != "@") for command in case.commands]
    if case.kind == "fuzz":
        found = Judgement(got="\n".join(ran.out + ran.err for ran in runs))
        found.faults = [fault for ran in runs for fault in ran.faults()]
        found.outcome = runs[0].code() or f"status {runs[0].status}"
        return runs, found
    try:
        with limited(PATIENCE):
            return runs, judged(folder, runs)
    except (LeftOutError, Late) as reason:
        faults = [fault for ran in runs for fault in ran.faults()]
        return runs, Judgement("left out", str(reason) or "too slow", "", faults)


def one_case(seed: int, number: int, folder: Path, kinds: tuple[str, ...]) -> tuple[Case, Judgement]:
    """Case `number` of a seed, whatever came before it."""
    rng = random.Random(f"{seed}:{number}")
    try:
        with limited(PATIENCE):
            case = draw_case(rng, folder, kinds)
    except Late:
        raise LeftOutError("too slow to draw") from None
    return case, examine(case, folder, rng.random() < APART)[1]


def keep(case: Case, found: Judgement, folder: Path, target: Path, origin: str) -> None:
    """Write a found case where it can be committed from."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    shown = {"kind": case.kind, "commands": case.commands, "faults": found.faults, "expected": found.expected}
    shown |= {"got": found.got.replace(str(folder), "."), "origin": origin}
    (target / "case.json").write_text(json.dumps(shown, indent=1) + "\n", "utf-8")


def hunt(state: State, cases: int, seconds: float, kinds: tuple[str, ...], state_file: Path | None, kept: Path) -> None:
    """Go on from a state until so many cases are done, or so many seconds are over."""
    begin, before = time.monotonic(), state.seconds
    while state.done < cases and time.monotonic() - begin < seconds:
        number = state.done
        state.done, state.running = number + 1, True
        state.save(state_file)
        with tempfile.TemporaryDirectory(prefix="hunt-") as name:
            attempt(state, number, Path(name), kinds, kept)
        state.seconds, state.running = before + time.monotonic() - begin, False
        state.save(state_file)


def attempt(state: State, number: int, folder: Path, kinds: tuple[str, ...], kept: Path) -> None:
    """One case: counted, and kept where something is wrong."""
    origin = f"--seed {state.seed} --first {number} --cases 1" + (f" --kinds {','.join(kinds)}" if kinds else "")
    try:
        case, found = one_case(state.seed, number, folder, kinds)
    except LeftOutError:
        state.count("no case", "left out")
        return
    except Exception:  # of the hunt's own: told, and the hunt goes on
        state.count("no case", "WRONG")
        state.note(f"hunt-{state.seed}-{number}", ["the hunt itself failed"])
        print(f"the hunt itself failed, {origin}: {traceback.format_exc()}", flush=True)
        return
    state.count(case.kind, "WRONG" if found.faults else found.outcome)
    if found.faults:
        target = kept / f"{case.kind}-{state.seed}-{number}"
        keep(case, found, folder, target, origin)
        state.note(target.name, found.faults)
        print(f"found {target}: {'; '.join(found.faults)}", flush=True)


def table(state: State) -> str:
    """Counts by kind of case: how many of each outcome."""
    lines = ["| kind | cases | wrong | outcomes |", "|---|---|---|---|"]
    for kind in [*KINDS, "no case"]:
        outcomes = Counter(state.counts.get(kind, {}))
        if outcomes:
            rest = ", ".join(f"{name} {n}" for name, n in outcomes.most_common() if name != "WRONG")
            lines.append(f"| {kind} | {outcomes.total()} | {outcomes['WRONG']} | {rest} |")
    total = sum(sum(outcomes.values()) for outcomes in state.counts.values())
    lines += [f"| all | {total} | {len(state.found)} | seed {state.seed}, {state.seconds:.0f} s |"]
    return "\n".join([*lines, *(f"{n} times: {sign}" for sign, n in Counter(state.signs).most_common())])


def replay(folder: Path) -> list[str]:
    """The faults that a kept case shows now; its files are copied first."""
    shown = json.loads((folder / "case.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="hunt-") as name:
        copy = Path(name, "case")
        shutil.copytree(folder, copy)
        return examine(Case(shown["kind"], shown["commands"]), copy, False)[1].faults


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument(
        "--cases", type=int, default=None, help="how many; for ever, or until --seconds are over, if not given"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=None, help="a new one by default; printed")
    parser.add_argument("--kinds", default="", help=f"only these, between commas: {','.join(KINDS)}")
    parser.add_argument("--state", type=Path, default=None, help="file to go on from, and to write how far the hunt is")
    parser.add_argument("--found", type=Path, default=CASES, help="folder for found cases")
    parser.add_argument("--replay", type=Path, default=None, help="folder of a found case: run and judge it again")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        faults = replay(options.replay)
        print("\n".join(faults) or "nothing wrong")
        return int(bool(faults))
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    state = State(seed, options.first)
    if options.state is not None and options.state.exists():
        state = State(**json.loads(options.state.read_text("utf-8")))
        if state.running:  # killed, or ended by a crash: the case is not tried for ever
            state.count("no case", "not finished")
            print(f"not finished: --seed {state.seed} --first {state.done - 1} --cases 1")
    last = sys.maxsize if options.cases is None else options.first + options.cases
    print(f"seed {state.seed}, from case {state.done}", flush=True)
    kinds = tuple(kind for kind in options.kinds.split(",") if kind)
    os.environ.setdefault("COLUMNS", "200")
    hunt(state, last, options.seconds, kinds, options.state, options.found)
    print(table(state))
    return int(bool(state.found))


if __name__ == "__main__":
    sys.exit(main())
