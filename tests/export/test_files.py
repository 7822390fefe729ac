"""Atomic writing: the old file, or the new one, and nothing else in the folder."""

from __future__ import annotations

import os

import pytest

from eqverify.errors import UsageError
from eqverify.files import atomic_write


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
