"""What `--json` prints: one object, of a kind and version that the schema describes, also where a call fails."""

import json
from pathlib import Path

import jsonschema
import pytest

from ..vnncomp import slow

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "specs" / "output.schema.json").read_text("utf-8"))
)
CALLS = [
    "reduce net.onnx prop.vnnlib -o out.onnx --certificate c --explain",
    "reduce net.onnx prop.vnnlib -o out.onnx --per-box",
    "reduce net.onnx prop.vnnlib -o out.onnx --for-property",
    "stability net.onnx prop.vnnlib",
    "bounds net.onnx prop.vnnlib -o bounds.json",
    "regions net.onnx prop.vnnlib",
    "shallow net.onnx prop.vnnlib -o out.onnx",
    "check net.onnx prop.vnnlib net.onnx prop.vnnlib",
    "verify net.onnx prop.vnnlib",
    "equiv net.onnx net.onnx prop.vnnlib --epsilon 0.5",
    "info net.onnx prop.vnnlib",
    "passes",
    "bench list.csv -o results --without-reduction --proofs kept",
]


@pytest.fixture
def printed(call, tmp_path, capsys):
    """The object that a command prints."""
    (tmp_path / "list.csv").write_text("net.onnx,prop.vnnlib,60\n")

    def ask(words):
        capsys.readouterr()
        status = call(f"{words} --json")
        (line,) = capsys.readouterr().out.splitlines()
        return status, json.loads(line)

    return ask


def test_the_schema_is_one():
    SCHEMA.check_schema(SCHEMA.schema)


@pytest.mark.parametrize("words", [*CALLS[:-1], *slow(CALLS[-1])])
def test_objects_fit_the_schema_and_name_their_kind(words, printed):
    _, found = printed(words)
    assert found["schema"] == f"eqverify {words.split()[0]} 1"
    SCHEMA.validate(found)
    assert not [key for key in found if " " in key]
    (name,) = found.keys() & {"readings", "reading", "passes", "runs", "supported"}
    del found[name]
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(found)


def test_all_kinds_are_tried():
    kinds = {f"eqverify {words.split()[0]} 1" for words in CALLS} | {"eqverify error 1"}
    assert kinds == set(SCHEMA.schema["properties"]["schema"]["enum"])


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        ("info no.onnx", "onnx/no-file", 2),
        ("stability net.onnx net.onnx", "vnnlib/encoding", 3),
        ("reduce net.onnx prop.vnnlib -o out.onnx --nonsense", "usage/arguments", 2),
        ("polish net.onnx", "usage/command", 2),
    ],
)
def test_a_call_that_fails_prints_an_object_too(words, code, status, printed):
    ended, found = printed(words)
    SCHEMA.validate(found)
    assert found["schema"] == "eqverify error 1"
    assert (found["error"]["code"], found["error"]["exit_status"], ended) == (code, status, status)
