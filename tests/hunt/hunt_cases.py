"""The cases of the hunt: files in a folder, and the commands that are asked about them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random

from .hunt_fuzz import damaged_bytes, damaged_model, damaged_text
from .hunt_interpreter import read_function
from .hunt_judging import closed_cells
from .hunt_networks import Sizes, disturbed, draw_network, draw_sizes, draw_style
from .hunt_oracle import LeftOutError, deviation, fraction
from .hunt_property import read_property
from .hunt_sampled import rounded, runs, smooth
from .hunt_texts import decimal, draw_condition, draw_domain, draw_threshold, reach, written, written_pair

ENGINES = ("crown", "portfolio", "portfolio", "leo", "isa")
SHAPES = ("sequential", "residual", "structured", "leo", "auto")
MORE = (
    ["--cross-check", "equiv", "--cross-check-timeout", "2"],
    ["--cross-check", "z3", "--cross-check-timeout", "2"],
    ["--certified-only", "--tree-time-limit", "1"],
    ["--resume", "journal"],
    ["--facts", "known"],
    ["--report", "page"],
    ["--picture", "layers.svg", "--explain"],
    ["--for", "marabou"],
)
"""Further options of `reduce`, now and then."""
LIMITS = ("0.1", "0.3", "0.3", "2")
"""Seconds that a command gets: often few, since most of the time goes to the questions that run to their limit."""
Commands = list[list[str]]


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of question, and its commands in order; files are in the folder."""

    kind: str
    commands: Commands


def backends() -> list[str]:
    """Those that are installed here."""
    found = ["scip", "scip", "scip", "scip:milp", "scip:milp", "portfolio"]
    return [*found, "marabou"] if importlib.util.find_spec("maraboupy") else found


def problem(
    rng: Random, folder: Path, *, plain: bool = False, relu_only: bool = False, condition: bool = True
) -> Sizes:
    """net.onnx and prop.vnnlib."""
    sizes = draw_sizes(rng)
    domain = draw_domain(rng, sizes.inputs, plain)
    style = draw_style(rng, len(sizes.layers) + 1)
    model = folder / "net.onnx"
    model.write_bytes(draw_network(rng, sizes, domain.ends, relu_only=relu_only, style=style))
    text = ""
    if condition:
        try:
            text = draw_condition(rng, read_function(model)[0], domain, sizes.inputs)
        except LeftOutError:  # a form that the interpreter does not know: asked all the same, how it ends is judged
            text = "(>= Y0 0.0)"
    version = rng.choice(("1.0", "2.0"))
    ports = (sizes.inputs, sizes.outputs)
    element = rng.choice((style.dtype, "real"))
    (folder / "prop.vnnlib").write_text(written(domain, text, ports, version, element), "utf-8")
    return sizes


def stability(rng: Random, folder: Path) -> Commands:
    problem(rng, folder)
    if rng.random() < 0.1:
        return [
            [
                "stability",
                "net.onnx",
                "prop.vnnlib",
                "--engine",
                rng.choice(ENGINES),
                "--time-limit",
                rng.choice(LIMITS),
                "--json",
            ]
        ]
    return [["@stability", "net.onnx", "prop.vnnlib", rng.choice(ENGINES), rng.choice(LIMITS)]]


def reduce(rng: Random, folder: Path) -> Commands:
    problem(rng, folder)
    command = ["reduce", "net.onnx", "prop.vnnlib", "-o", "out.onnx", "--time-limit", rng.choice(LIMITS)]
    if rng.random() < 0.15:
        return [[*command, "--for-property", "--property-out", "relaxed.vnnlib", "--json"]]
    command += ["--shape", rng.choice(SHAPES), "--engine", rng.choice(ENGINES)]
    command += rng.choice(([], [], ["--dtype", "float64"], ["--dtype", "float32"], ["--max-epsilon", "1e-9"]))
    command += rng.choice(MORE) if rng.random() < 0.3 else []
    command += ["--json"] if rng.random() < 0.7 else []
    command += ["--property-out", "relaxed.vnnlib"] if rng.random() < 0.3 else []
    return [command, command] if {"--resume", "--facts"} & set(command) else [command]


def verify(rng: Random, folder: Path) -> Commands:
    problem(rng, folder)
    return [verifying(rng, ["--network", "N=net.onnx"], rng.choice(backends()))]


def verifying(rng: Random, networks: list[str], backend: str) -> list[str]:
    command = [
        "verify",
        "prop.vnnlib",
        *networks,
        "--timeout",
        rng.choice(LIMITS),
        "--backend",
        backend,
        "--workers",
        "1",
    ]
    alone = 0.7 if backend in ("scip:milp", "marabou") else 0.3  # what is asked, and not what comes before it
    command += ["--no-reduction"] if rng.random() < alone else []
    return [*command, "--json"] if rng.random() < 0.8 else command


def pair(rng: Random, folder: Path) -> Commands:
    """A query about two networks on equal inputs: a threshold for the difference of two outputs."""
    sizes, domain, dtype = two_networks(rng, folder)
    relation = rng.choice(("isomorphic-to", "isomorphic-to", "equal-to"))
    f = read_function(folder / "f.onnx")[0]
    g = f if relation == "equal-to" else read_function(folder / "g.onnx")[0]
    j, k = rng.randrange(sizes.outputs), rng.randrange(sizes.outputs)
    from .hunt_oracle import beside

    both = beside(f, g, shared=True)
    whole = read_property(written(domain, "", (sizes.inputs, 0), "1.0")).domain()
    form = both.outputs[j] - both.outputs[sizes.outputs + k]
    sign, threshold = draw_threshold(rng, *reach(both, form, whole, sizes.inputs))
    condition = f"({sign} (- Y{j} W{k}) {threshold})"
    element = rng.choice((dtype, "real"))
    text = written_pair(domain, condition, (sizes.inputs, sizes.outputs), element, relation)
    (folder / "prop.vnnlib").write_text(text, "utf-8")
    networks = ["--network", "f=f.onnx"] + ([] if relation == "equal-to" else ["--network", "g=g.onnx"])
    return [verifying(rng, networks, "scip")]


def two_networks(rng: Random, folder: Path):
    """f.onnx and g.onnx: one changed a little, or another one of the same sizes, or the reduction of the first."""
    sizes = draw_sizes(rng)
    domain = draw_domain(rng, sizes.inputs)
    style = draw_style(rng, len(sizes.layers) + 1)
    first = draw_network(rng, sizes, domain.ends, style=style)
    second = disturbed(rng, first) if rng.random() < 0.7 else draw_network(rng, sizes, domain.ends, style=style)
    (folder / "f.onnx").write_bytes(first)
    (folder / "g.onnx").write_bytes(second)
    return sizes, domain, style.dtype


def equiv(rng: Random, folder: Path) -> Commands:
    """An epsilon just below, at, or just above the exact deviation; or top-1."""
    sizes, domain, dtype = two_networks(rng, folder)
    ports = sizes.inputs, sizes.outputs
    text = written(domain, "", ports, rng.choice(("1.0", "2.0")), rng.choice((dtype, "real")))
    (folder / "prop.vnnlib").write_text(text, "utf-8")
    command = ["equiv", "f.onnx", "g.onnx", "prop.vnnlib", "--timeout", rng.choice(LIMITS), "--json"]
    if sizes.outputs > 1 and rng.random() < 0.3:
        return [[*command, "--top1"]]
    f, g = (read_function(folder / name)[0] for name in ("f.onnx", "g.onnx"))
    try:
        places = closed_cells(read_property(text))
        exact = max((fraction(max(deviation(f, g, cell))) for cell in places), default=Fraction(0))
    except LeftOutError:
        exact = Fraction(0)
    factor = rng.choice((1, 1, 1 + 10.0 ** rng.uniform(-13, -3), 1 - 10.0 ** rng.uniform(-13, -3), 0, 2))
    epsilon = decimal(exact * Fraction(factor), None if factor == 1 else 20)
    return [[*command, "--epsilon", epsilon]]


def regions(rng: Random, folder: Path) -> Commands:
    problem(rng, folder, plain=rng.random() < 0.8, relu_only=True, condition=False)
    command = ["regions", "net.onnx", "prop.vnnlib", "--time-limit", rng.choice(LIMITS), "--json"]
    return [[*command, "--method", "milp"] if rng.random() < 0.1 else command]


def shallow(rng: Random, folder: Path) -> Commands:
    """One input and few units: the written network has many."""
    sizes = Sizes(1, rng.randint(1, 2), tuple(rng.randint(1, 3) for _ in range(rng.randint(1, 2))))
    domain = draw_domain(rng, 1, plain=True)
    (folder / "net.onnx").write_bytes(draw_network(rng, sizes, domain.ends, relu_only=True))
    (folder / "prop.vnnlib").write_text(written(domain, "", (1, sizes.outputs), "1.0"), "utf-8")
    command = [
        "shallow",
        "net.onnx",
        "prop.vnnlib",
        "-o",
        "out.onnx",
        "--samples",
        "100",
        "--time-limit",
        "2",
        "--json",
    ]
    return [[*command, "--patterns", "all"] if rng.random() < 0.2 else command]


def check(rng: Random, folder: Path) -> Commands:
    """A certificate as written, then what an adversary made of it."""
    problem(rng, folder)
    exact = ["--arithmetic", "exact"] if rng.random() < 0.3 else []
    seed, limit = str(rng.randrange(10**9)), ["--time-limit", rng.choice(LIMITS), "--json"]
    command = ["reduce", "net.onnx", "prop.vnnlib", "-o", "out.onnx", "--certificate", "c.cert", *limit]
    if rng.random() < 0.25:
        return [
            [*command, "--for-property"],
            ["@mutate", seed],
            ["check", "net.onnx", "bad.vnnlib", "bad.cert", "--json", *exact],
        ]
    return [
        [*command, "--shape", rng.choice(SHAPES), "--tree-time-limit", "1"],
        ["check", "net.onnx", "prop.vnnlib", "out.onnx", "c.cert", "--json", *exact],
        ["@mutate", seed],
        ["check", "net.onnx", "bad.vnnlib", "bad.onnx", "bad.cert", "--json", *exact],
    ]


def fuzz(rng: Random, folder: Path) -> Commands:
    """Damaged files: any command ends with an answer or an error that says what is wrong."""
    problem(rng, folder)
    what = rng.random()
    model, text = folder / "net.onnx", folder / "prop.vnnlib"
    if what < 0.5:
        model.write_bytes(damaged_model(rng, model.read_bytes()))
    if what >= 0.5 or rng.random() < 0.1:
        text.write_bytes(damaged_text(rng, text.read_text("utf-8")))
    files = ["net.onnx", "prop.vnnlib"]
    (folder / "odd.cert").write_bytes(
        damaged_bytes(rng, b"eqverify certificate 1\n" + bytes(rng.randrange(60)) + b"{}")
    )
    limit = ["--time-limit", "2"]
    return [
        rng.choice(
            (
                ["info", *files],
                ["stability", *files, "--engine", "crown", *limit],
                ["reduce", *files, "-o", "out.onnx", "--engine", "crown", *limit],
                ["reduce", *files, "-o", "out.onnx", "--for-property", *limit],
                ["verify", "prop.vnnlib", "--network", "N=net.onnx", "--timeout", "2", "--workers", "1"],
                ["equiv", "net.onnx", "net.onnx", "prop.vnnlib", "--epsilon", "0.1", "--timeout", "2"],
                ["regions", *files, *limit],
                ["check", *files, "net.onnx", "odd.cert"],
            )
        )
    ]


KINDS: dict[str, tuple[int, Callable[[Random, Path], Commands]]] = {
    "stability": (28, stability),
    "reduce": (8, reduce),
    "verify": (16, verify),
    "pair": (9, pair),
    "equiv": (5, equiv),
    "regions": (13, regions),
    "shallow": (4, shallow),
    "check": (2, check),
    "fuzz": (15, fuzz),
    "smooth": (6, smooth),
    "rounded": (3, rounded),
    "runs": (5, runs),
}
"""By name: how often, which is more often where a case takes less time, and how it is made."""


def draw_case(rng: Random, folder: Path, kinds: tuple[str, ...] = ()) -> Case:
    """The files of a case and its commands.

    Args:
        rng: what the case is made from, and nothing else.
        folder: empty, for the files.
        kinds: only these; all, if none is named.
    """
    chosen = kinds or tuple(KINDS)
    kind = rng.choices(chosen, [KINDS[name][0] for name in chosen])[0]
    return Case(kind, KINDS[kind][1](rng, folder))
