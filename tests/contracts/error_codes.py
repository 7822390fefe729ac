"""The error codes of the source tree, and the table of them in specs/errors.md.

``python tests/contracts/error_codes.py`` rewrites the table from the sources; a test compares the two.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import eqverify.errors

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "eqverify"
TABLE = ROOT / "specs" / "errors.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
DIRECT = ("code", "message")
"""Positional parameters of the error classes."""

STATUS = {
    name: value.exit_status
    for name, value in vars(eqverify.errors).items()
    if isinstance(value, type) and issubclass(value, eqverify.errors.EqverifyError)
}

MEANINGS = {
    "network/too-large": "a matrix, or the product of two maps, would have too many entries",
    "export/not-expressible": "this version of VNN-LIB cannot say it",
    "onnx/constant-folding": "an operator on constants cannot be computed",
    "onnx/shape-mismatch": "shapes of inputs, attributes and outputs do not fit together",
    "usage/arguments": "what the command line parser says",
    "vnnlib/duplicate-network": "two networks have one name",
}
"""Of codes whose messages are put together elsewhere, or are too many."""


@dataclass(frozen=True)
class Maker:
    """A function, method or class with a parameter `code`, from which it makes an error."""

    parameters: tuple[str, ...]
    status: int
    prefix: str
    folder: Path


@dataclass(frozen=True)
class Use:
    """One place where an error is made."""

    code: str
    status: int
    message: str
    hint: str
    where: str


Names = dict[str, ast.expr]
"""What is assigned to the local names of a function."""


def literal(node: ast.expr | None, names: Names | None = None) -> str:
    """The text of a string in the source; computed parts as an ellipsis, something else as nothing."""
    if isinstance(node, ast.Name) and names and node.id in names:
        return literal(names[node.id])
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.IfExp):
        return " | ".join(filter(None, (literal(node.body), literal(node.orelse))))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return literal(node.left) + literal(node.right)
    return ""


def callee(node: ast.Call) -> str:
    """The last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def makers(trees: dict[Path, ast.Module]) -> dict[str, list[Maker]]:
    """By name, what makes errors from a code it is given."""
    found: dict[str, list[Maker]] = {}
    for path, tree in trees.items():
        for scope in ast.walk(tree):
            functions = [scope] if isinstance(scope, ast.FunctionDef) else []
            if isinstance(scope, ast.ClassDef):
                functions = [f for f in scope.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
            for function in functions:
                parameters = tuple(a.arg for a in (*function.args.args, *function.args.kwonlyargs) if a.arg != "self")
                if "code" not in parameters or path.name == "errors.py":
                    continue
                calls = [c for c in ast.walk(scope) if isinstance(c, ast.Call) and callee(c) in STATUS]
                if not calls:
                    continue
                prefix = literal(calls[0].args[0]).removesuffix("…")
                maker = Maker(parameters, STATUS[callee(calls[0])], prefix, path.parent)
                found.setdefault(scope.name, []).append(maker)
    return found


@cache
def uses() -> list[Use]:
    """All places of the package where an error with a literal code is made."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    known = makers(trees)
    return [use for path, tree in trees.items() for use in _uses(path, tree, known)]


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, Names]]:
    """Every call once, with the names assigned in the innermost function around it."""
    names: dict[ast.Call, Names] = {}
    for scope in ast.walk(tree):
        if isinstance(scope, ast.Module | ast.FunctionDef):
            inside = list(ast.walk(scope))
            assigned = [n for n in inside if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)]
            local = {n.targets[0].id: n.value for n in assigned}
            names |= {n: local for n in inside if isinstance(n, ast.Call)}
    yield from names.items()


def _uses(path: Path, tree: ast.Module, known: dict[str, list[Maker]]) -> Iterator[Use]:
    for node, names in _calls(tree):
        if callee(node) in STATUS:
            maker = Maker(DIRECT, STATUS[callee(node)], "", PACKAGE)
        else:
            near = [m for m in known.get(callee(node), []) if path.is_relative_to(m.folder)]
            if not near:
                continue
            maker = near[0]
        given = {k.arg: k.value for k in node.keywords} | dict(zip(maker.parameters, node.args, strict=False))
        code = literal(given.get("code"))
        if code and "…" not in code:
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            texts = (literal(given.get(key), names) for key in ("message", "hint"))
            yield Use(maker.prefix + code, maker.status, *texts, where)


def rows() -> list[tuple[str, str, str, str]]:
    """Code, exit status, meaning, hint: one row per code, sorted."""
    table: dict[str, tuple[set[int], list[str], list[str]]] = {}
    for use in uses():
        statuses, messages, hints = table.setdefault(use.code, (set(), [], []))
        statuses.add(use.status)
        messages.append(use.message)
        hints.append(use.hint)
    return [
        (code, " or ".join(map(str, sorted(statuses))), MEANINGS.get(code) or _joined(messages), _joined(hints))
        for code, (statuses, messages, hints) in sorted(table.items())
    ]


def _joined(texts: list[str]) -> str:
    parts = [part for text in texts for part in text.split(" | ") if part]
    return "; ".join(dict.fromkeys(parts)).replace("|", "\\|")


def render() -> str:
    """The table as Markdown."""
    lines = ["| code | exit status | meaning | hint |", "|---|---|---|---|"]
    lines += [f"| `{code}` | {status} | {message} | {hint} |" for code, status, message, hint in rows()]
    return "\n".join(lines)


def documented() -> str:
    """The table as it stands in the file."""
    return TABLE.read_text("utf-8").split(BEGIN)[1].split(END)[0].strip()


def main() -> None:
    """Rewrite the table in the file."""
    text = TABLE.read_text("utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    TABLE.write_text(f"{before}{BEGIN}\n\n{render()}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
