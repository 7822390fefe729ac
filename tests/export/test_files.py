"""Atomic writing: the old files, or the new ones, and nothing else in the folder; reading within limits."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.errors import UsageError
from eqverify.files import atomic_write, read_limited, sole_writer, unpack, write_files


def test_writes_and_replaces(tmp_path):
    atomic_write(tmp_path / "a", b"one")
    atomic_write(tmp_path / "a", "zwei ä")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "zwei ä"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    atomic_write(tmp_path / "a", b"one")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UsageError, match="files/not-writable"):
        atomic_write(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a", b"two")
    assert not list(tmp_path.iterdir())


def test_missing_folder_and_folder_as_file(tmp_path):
    with pytest.raises(UsageError, match="files/no-folder"):
        atomic_write(tmp_path / "none" / "a", b"")
    with pytest.raises(UsageError, match="files/not-writable"):
        atomic_write(tmp_path, b"")


def test_files_that_belong_together_are_all_written_or_none(tmp_path, monkeypatch):
    """The disk is full at the second file; the old first one stays."""
    (tmp_path / "net").write_bytes(b"old")
    real, calls = os.fsync, []

    def full(number):
        calls.append(number)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="files/not-writable"):
        write_files({tmp_path / "net": b"new", tmp_path / "cert": b"new"})
    assert (tmp_path / "net").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_name_that_cannot_be_taken_leaves_none(tmp_path, monkeypatch):
    real = os.replace

    def refuse(source, target):
        if str(target).endswith("cert"):
            raise OSError(1, "Operation not permitted")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UsageError, match="files/not-writable"):
        write_files({tmp_path / "net": b"new", tmp_path / "cert": b"new"})
    assert not list(tmp_path.iterdir())


def test_a_folder_among_the_names_leaves_all_alone(tmp_path):
    (tmp_path / "cert").mkdir()
    with pytest.raises(UsageError, match="files/not-writable"):
        write_files({tmp_path / "net": b"new", tmp_path / "cert": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["cert"]


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "log"
    with sole_writer(path), pytest.raises(UsageError, match="files/locked"), sole_writer(path):
        pass
    with sole_writer(path):
        pass


def test_a_lock_makes_no_folders(tmp_path):
    with pytest.raises(UsageError, match="files/no-folder"), sole_writer(tmp_path / "none" / "log"):
        pass
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(1, 3))
def test_unpacking_stops_at_the_limit(data, most, members):
    packed = gzip.compress(data) * members
    whole = data * members
    assert unpack(packed, most) == (whole if len(whole) <= most else None)
    assert unpack(b"x" + data, most) == (b"x" + data if len(data) < most else None)


@pytest.mark.slow
def test_gigabytes_in_a_small_file_need_no_memory():
    made = zlib.compressobj(9, wbits=31)
    packed = b"".join([*(made.compress(bytes(1 << 24)) for _ in range(16)), made.flush()])
    tracemalloc.start()
    assert unpack(packed, 1 << 26) is None
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_of_a_larger_file_nothing_is_read(tmp_path):
    (tmp_path / "a").write_bytes(bytes(11))
    assert read_limited(tmp_path / "a", 10) is None
    assert read_limited(tmp_path / "a", 11) == bytes(11)
    assert read_limited("/dev/zero", 1000) is None
