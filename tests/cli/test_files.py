"""What commands write and read: packed files, and digests of what they hold."""

import gzip
import re

import onnx
import pytest

from eqverify.api.certificate import check

from ..vnncomp import slow


def test_a_file_that_is_called_gz_is_packed(call, tmp_path):
    assert call("reduce net.onnx prop.vnnlib -o out.onnx.gz --property-out out.vnnlib.gz --certificate c.gz") == 0
    onnx.checker.check_model(onnx.load_from_string(gzip.decompress((tmp_path / "out.onnx.gz").read_bytes())))
    assert b"assert" in gzip.decompress((tmp_path / "out.vnnlib.gz").read_bytes())
    assert call("check net.onnx prop.vnnlib out.onnx.gz c.gz") == 0
    assert call("stability out.onnx.gz out.vnnlib.gz --engine crown") == 0


@pytest.mark.parametrize("name", ["net.onnx", "prop.vnnlib", "out.onnx", "c"])
@pytest.mark.parametrize("packed", [False, *slow(True)])
def test_a_certificate_is_about_what_files_hold(name, packed, call, tmp_path):
    """Packed or not, when it was made and when it is checked."""
    if packed:
        for path in (tmp_path / "net.onnx", tmp_path / "prop.vnnlib"):
            path.write_bytes(gzip.compress(path.read_bytes()))
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --certificate c") == 0
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else gzip.compress(data))
    assert check("net.onnx", "prop.vnnlib", "out.onnx", "c").verified


def test_numbers_of_packed_files_stand_before_all_suffixes(call, tmp_path):
    text = (tmp_path / "prop.vnnlib").read_text().replace("(assert (>= X_0 -1)) (assert (<= X_0 1))", "")
    halves = "(or (and (>= X_0 -1) (<= X_0 0)) (and (>= X_0 0.5) (<= X_0 1)))"
    (tmp_path / "prop.vnnlib").write_text(f"{text} (assert {halves})")
    assert call("reduce net.onnx prop.vnnlib -o out.onnx.gz --per-box") == 0
    names = {path.name for path in tmp_path.iterdir()} - {"net.onnx", "prop.vnnlib"}
    assert names == {"out-1.onnx.gz", "out-2.onnx.gz", "out.boxes.json"}
    assert call("reduce out-1.onnx.gz prop.vnnlib -o out.onnx.gz --per-box") == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("info FILE", "onnx/no-file"),
        ("verify FILE prop.vnnlib", "onnx/no-file"),
        ("verify prop.vnnlib --network f=FILE", "onnx/no-file"),
        ("reduce net.onnx FILE -o out.onnx", "vnnlib/no-file"),
        ("bounds net.onnx FILE -o out.json", "vnnlib/no-file"),
        ("equiv net.onnx FILE prop.vnnlib --epsilon 0", "onnx/no-file"),
        ("check net.onnx prop.vnnlib FILE", "certificate/no-file"),
        ("bench FILE -o results", "bench/no-file"),
    ],
)
@pytest.mark.parametrize(("given", "there"), [("gone", "gone.gz"), ("gone.gz", "gone")])
def test_a_hint_names_the_packed_or_unpacked_file_that_is_there(words, code, given, there, call, tmp_path, capsys):
    (tmp_path / there).touch()
    assert call(words.replace("FILE", given)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error[{code}]")
    assert re.search(rf"hint: .*: {there} is there$", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("reduce net.onnx prop.vnnlib -o out.onnx --picture layers.jpg", "usage/picture-format"),
        ("regions net.onnx prop.vnnlib --picture regions.jpg", "usage/picture-format"),
        ("reduce net.onnx prop.vnnlib -o out.onnx --fold-property", "usage/fold-property"),
        (
            "reduce net.onnx prop.vnnlib -o out.onnx --fold-property --property-out out.vnnlib --certificate c",
            "usage/reduce-mode",
        ),
        ("reduce leaky.onnx prop.vnnlib -o out.onnx --shape structured", "usage/shape"),
        ("reduce net.onnx prop.vnnlib -o .", "files/not-writable"),
        ("reduce net.onnx -o out.onnx --radius 0.1 --around 0,0 --certificate c", "certificate/no-files"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_proof(words, code, call, tmp_path, capsys, monkeypatch):
    model = onnx.load(tmp_path / "net.onnx")
    for node in model.graph.node:
        node.op_type = node.op_type.replace("Relu", "LeakyRelu")
    onnx.save(model, tmp_path / "leaky.onnx")
    proofs = []
    for place in ("reduction.pipeline.prove_stability", "api.regions.find"):
        monkeypatch.setattr(f"eqverify.{place}", lambda *_, **__: proofs.append(1))
    assert call(words) == 2
    assert code in capsys.readouterr().err
    assert not proofs
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "leaky.onnx", "prop.vnnlib"}
