"""Competition files, gzip, encodings, and what happens to damaged files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqverify.errors import EqverifyError, InputError, LimitError, UsageError
from eqverify.export.vnnlib import format_specification, write_query
from eqverify.frontend.vnnlib import lower, parse_query, read_query
from eqverify.frontend.vnnlib.reader import decode

from ...vnncomp import OWN, slow, vnncomp

SIZES = {
    "policy": (4, 1),
    "tabular": (30, 1),
    "cnn": (64, 10),
    "acasxu": (5, 5),
    "acasxu_pruned": (10, 10),
    "cifar10_resnet": (3072, 10),
    "collins_rul_cnn": (400, 1),
    "mnist_fc": (784, 10),
    "oval21": (3072, 10),
    "rl_benchmarks": (None, None),
    "test": (None, None),
    "tllverifybench": (2, 1),
    "verivital": (784, 10),
}


def properties(benchmark: str) -> list[Path]:
    if benchmark in OWN:
        return list(OWN[benchmark].properties)
    return sorted(p for p in vnncomp(benchmark).rglob("*.vnnlib*") if p.is_file())


@pytest.mark.parametrize("benchmark", [*OWN, *slow(*(name for name in SIZES if name not in OWN))])
def test_every_file_reads(benchmark: str) -> None:
    inputs, outputs = SIZES[benchmark]
    paths = properties(benchmark)
    assert paths
    for path in paths:
        query = read_query(path)
        specification = lower(query)
        assert specification.source == os.fspath(path)
        assert inputs in (None, specification.input_size)
        assert outputs in (None, specification.output_size)
        assert specification.cases
        assert all(case.unsafe for case in specification.cases)
        box = specification.cases[0].polytope.box
        assert (box.lower <= box.upper).all()


@pytest.mark.parametrize("benchmark", [*OWN, "acasxu", "acasxu_pruned", "collins_rul_cnn", "rl_benchmarks", "test"])
def test_files_survive_writing(benchmark: str) -> None:
    paths = properties(benchmark)[:6]
    assert paths
    for path in paths:
        query = read_query(path)
        assert parse_query(write_query(query)) == query
        specification = lower(query)
        again = lower(parse_query(format_specification(specification)))
        assert again.domain.digest == specification.domain.digest
        assert [case.unsafe for case in again.cases] == [case.unsafe for case in specification.cases]


def test_published_version_2_instance() -> None:
    """Bounds reach the second network through the equalities alone."""
    (path,) = properties("acasxu_pruned")
    specification = lower(read_query(path))
    assert specification.version == "2.0"
    assert [network.name for network in specification.networks] == ["f", "g"]
    assert specification.networks[1].isomorphic_to == "f"
    (case,) = specification.cases
    assert case.polytope.box.lower.tolist()[:5] == case.polytope.box.lower.tolist()[5:]
    assert case.polytope.matrix.shape == (10, 10)
    assert case.polytope.bound.tolist() == [0.0] * 10
    assert [len(conjunction) for conjunction in case.unsafe] == [10]


SMALL = b"""; quirks of competition files\r
(declare-const X_0 Real)\r
(declare-const  Y_0   Real)\r
(assert)\r
(assert (or\r
\t(and (>= X_0 -1e-1) (<= X_0 +.5) (>= Y_0 1.)) ; (assert (<= X_0 0))\r
))\r
; (assert (<= X_0 -5))\r
( assert ( <= X_0 4 ) )(assert (<= X_0 3))\r
(assert(and(and)))\r
"""


def test_quirks() -> None:
    specification = lower(parse_query(SMALL.decode()))
    (case,) = specification.cases
    assert case.polytope.box.lower.tolist() == [-0.1]
    assert case.polytope.box.upper.tolist() == [0.5]
    ((row,),) = case.unsafe
    assert (row.outputs, row.bound, row.strict) == ({0: -1}, -1, False)


def test_gzip_is_found_by_content(tmp_path: Path) -> None:
    packed = tmp_path / "property.txt"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + SMALL))
    assert read_query(packed) == parse_query(SMALL.decode())


def test_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.vnnlib", tmp_path, "a\0b"):
        with pytest.raises(UsageError, match="vnnlib/no-file"):
            read_query(path)


def test_damaged_gzip_and_binary() -> None:
    with pytest.raises(InputError) as caught:
        decode(gzip.compress(SMALL)[:-9])
    assert caught.value.code == "vnnlib/gzip"
    with pytest.raises(InputError) as caught:
        decode(b"\x89PNG\r\n")
    assert caught.value.code == "vnnlib/encoding"


VERSION2 = b"""(vnnlib-version <2.0>)
(declare-network f (declare-input X real [2]) (declare-hidden H real [3] "h") (declare-output Y real []))
(declare-network g (equal-to f) (declare-input Z real [2]) (declare-output W real []))
(assert (<= X[0] 1.0)) (assert (>= X[0] -1.0)) (assert (and (<= X[1] 1.0) (>= X[1] 0.5)))
(assert (== X[0] Z[0])) (assert (== X[1] Z[1]))
(assert (or (< (+ Y 0.1) W) (!= (* 2.0 Y) (- W 1.0))))
"""


def outcome(file: bytes) -> str:
    """What reading a file comes to; any other exception is a failure of the test."""
    try:
        lower(parse_query(decode(file)))
    except EqverifyError as error:
        return str(error)
    return "query"


@settings(max_examples=6 * settings().max_examples, deadline=None)
@given(st.data())
def test_mutated_files_give_an_error_or_a_query(data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from([SMALL, VERSION2, gzip.compress(VERSION2, mtime=0)])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(text) - 1)))
        piece = data.draw(st.sampled_from([b"(", b")", b"0", b"-", b"X_0 ", b"\xff", b"[", b"e9", b"", b"\n", b'"']))
        match data.draw(st.sampled_from(["insert", "replace", "delete", "cut", "flip"])):
            case "insert":
                text[at:at] = piece
            case "replace":
                text[at : at + 1] = piece
            case "delete":
                del text[at : at + data.draw(st.integers(1, 20))]
            case "cut":
                del text[at:]
            case _:
                text[at : at + 1] = bytes([text[at] ^ (1 << data.draw(st.integers(0, 7)))]) if text else b""
    assert outcome(bytes(text)).startswith(("query", "error["))


@settings(max_examples=4 * settings().max_examples, deadline=None)
@given(st.binary(max_size=60) | st.text("()<>=andorXY_0 1.-[]\n;", max_size=60).map(str.encode))
def test_garbage_gives_an_error_or_a_query(junk: bytes) -> None:
    for prefix in (b"", SMALL, VERSION2):
        assert outcome(prefix + junk).startswith(("query", "error["))


@pytest.mark.slow
@pytest.mark.parametrize("word", ["(and ", "(or ", "(<= (+ ", "(", "(<= (- "])
@pytest.mark.parametrize("closed", [True, False])
def test_deep_nesting_is_an_error(word: str, closed: bool) -> None:
    depth = 50_000
    inner = "(<= X_0 1)" if "<=" not in word else "X_0"
    text = SMALL.decode() + "(assert " + word * depth + inner + (")" * depth if closed else "")
    with pytest.raises(InputError):
        lower(parse_query(text))


def test_enormous_products_are_an_error() -> None:
    text = SMALL.decode() + f"(assert (<= (* {'1e1000 ' * 1000} X_0) 1))"
    assert outcome(text.encode()).startswith("error[vnnlib/number-range]")


def test_large_values_in_messages() -> None:
    text = SMALL.decode() + "(assert (<= (* 1e1000 1e1000 1e1000 1e1000 1e1000 X_0) (- (* 1e1000 1e1000 1e1000))))"
    assert outcome(text.encode()).startswith("query")
    text = SMALL.decode() + "(assert (<= X_0 (- (* 1e1000 1e1000 1e1000 1e1000 1e1000))))"
    assert "[-0.1, -inf]" in outcome(text.encode())


def test_an_input_set_of_too_many_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is 5 * 10^7 numbers; here it is 3, so that a small property exceeds it."""
    monkeypatch.setattr("eqverify.frontend.vnnlib.region.MAX_ENTRIES", 3)
    text = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
    text += "(assert (>= X_0 0))(assert (<= X_0 1))(assert (>= X_1 0))(assert (<= X_1 1))"
    rows = "(assert (<= (+ X_0 X_1) 1.5))(assert (>= (+ X_0 X_1) 0.5))"
    assert lower(parse_query(text + "(assert (<= (+ X_0 X_1) 1.5))"))
    with pytest.raises(LimitError, match="vnnlib/too-many-entries"):
        lower(parse_query(text + rows))
