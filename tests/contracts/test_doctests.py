"""Examples in docstrings run and give what they say; each public name has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import eqverify

PACKAGE = Path(__file__).parents[2] / "eqverify"
NAMES = [name for name in eqverify.__all__ if name != "__version__"]


def modules_with_examples() -> list[str]:
    found = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text("utf-8")]
    relative = [path.relative_to(PACKAGE.parent).with_suffix("") for path in found]
    return [".".join(path.parts).removesuffix(".__init__") for path in relative]


def examples(name: str) -> list[doctest.DocTest]:
    """Those of a module, of its decorated functions too."""
    module, finder = importlib.import_module(name), doctest.DocTestFinder()
    decorated = [job for job in vars(module).values() if inspect.isfunction(job) and inspect.unwrap(job) is not job]
    own = [job for job in map(inspect.unwrap, decorated) if job.__module__ == name]
    found = [*finder.find(module), *(test for job in own for test in finder.find(job, globs={}))]
    return [test for test in found if test.examples]


def test_there_are_examples() -> None:
    assert modules_with_examples()


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    for test in examples(name):
        doctest.DocTestRunner().run(test, out=said.append)
    assert examples(name)
    assert not said


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_an_example_and_types(name: str) -> None:
    """Where the text is that of a module, the example runs above."""
    public = getattr(eqverify, name)
    test = doctest.DocTestParser().get_doctest(public.__doc__ or "", {}, name, None, None)
    assert [example for example in test.examples if name[0].isupper() or f"eq.{name}(" in example.source]
    assert inspect.getmodule(public).__name__ in modules_with_examples()
    if not inspect.isclass(public):
        named = inspect.signature(public).parameters.values()
        assert all(one.annotation is not inspect.Parameter.empty for one in named)
