"""Answers as JUnit's XML, which systems for continuous integration show.

There is no standard of it; these are the elements that all readers know: ``testsuites``, ``testsuite``,
``testcase`` and in a case one of ``failure``, ``error`` and ``skipped``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

Outcome = Literal["passed", "failure", "error", "skipped"]

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no place for."""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer.

    Attributes:
        group: what it belongs to, such as a network.
        name: the question.
        seconds: wall time.
        outcome: how it counts.
        message: why it did not pass, in a line.
        log: more about that.
    """

    group: str
    name: str
    seconds: float
    outcome: Outcome
    message: str = ""
    log: str = ""


def junit(suites: Mapping[str, Sequence[Case]]) -> bytes:
    """The XML of suites by name; what XML cannot hold is shown as a question mark."""
    root = ElementTree.Element("testsuites")
    for name, cases in suites.items():
        counts = {f"{kind}s": sum(case.outcome == kind for case in cases) for kind in ("failure", "error")}
        counts["skipped"] = sum(case.outcome == "skipped" for case in cases)
        head = {"tests": len(cases), **counts, "time": f"{sum(case.seconds for case in cases):.3f}"}
        suite = ElementTree.SubElement(
            root, "testsuite", {"name": _plain(name), **{k: str(v) for k, v in head.items()}}
        )
        for case in cases:
            named = {"classname": _plain(case.group), "name": _plain(case.name), "time": f"{case.seconds:.3f}"}
            element = ElementTree.SubElement(suite, "testcase", named)
            if case.outcome != "passed":
                told = ElementTree.SubElement(element, case.outcome, {"message": _plain(case.message)})
                told.text = _plain(case.log)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return data + b"\n"


def _plain(text: str) -> str:
    return _NO_XML.sub("?", text)
