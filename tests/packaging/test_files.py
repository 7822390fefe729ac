"""Files that tools read which are no part of the tests: the image of the competition, the citation."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import eqverify

ROOT = Path(__file__).parents[2]


def test_the_image_installs_extras_that_there_are_on_a_python_that_is_supported():
    """A stand-in for a build: what its instructions name exists."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    steps = dict(re.findall(r"^(FROM|WORKDIR|COPY|RUN|ENTRYPOINT) (.*)$", text, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    version = re.fullmatch(r"python:(3\.\d+)-slim", steps["FROM"]).group(1)
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    extras = re.search(r"pip install .*'\.\[([\w,]+)\]'", steps["RUN"]).group(1).split(",")
    assert set(extras) <= project["optional-dependencies"].keys()
    assert steps["ENTRYPOINT"] == '["eqverify"]'
    assert steps["ENTRYPOINT"][2:-2] in project["scripts"]


def test_the_citation_is_of_this_version():
    cited = dict(re.findall(r"^([\w-]+):[ \n]*(.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE))
    assert cited["version"] == eqverify.__version__
    assert {"cff-version", "message", "title", "authors", "license"} <= cited.keys()
    assert f"## {eqverify.__version__} (" in (ROOT / "CHANGELOG.md").read_text("utf-8")
