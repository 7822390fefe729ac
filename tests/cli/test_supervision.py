"""Exactly one answer, by the limit, whatever the work does: in processes of their own, since they fork."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys, time
from eqverify.cli import supervision

supervision.allow()
announce = supervision.supervise({seconds})
if announce is None:
    print("timed-out")
    sys.exit(0)
{work}
"""

STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"

DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(0.4)\nannounce()\nprint('unsat')"
"""Comes to an answer between the limit and its end."""


def outcome(work, seconds=30.0):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(seconds=seconds, work=work)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout, done.returncode


def test_an_answer_in_time_is_the_childs_with_its_status():
    assert outcome("announce()\nprint('unsat')\nsys.exit(3)") == ("unsat\n", 3)


def test_an_error_before_any_answer_is_the_childs():
    assert outcome("sys.exit(2)") == ("", 2)


@pytest.mark.parametrize("work", ["time.sleep(60)", STUBBORN, DEAF])
def test_what_hangs_is_ended_and_answered_for(work):
    assert outcome(work, 0.2) == ("timed-out\n", 0)


def test_an_answer_that_was_announced_is_not_cut_off():
    """It is announced at once, and printed after the limit."""
    assert outcome("announce()\ntime.sleep(0.5)\nprint('unsat')", 0.2) == ("unsat\n", 0)


def test_an_answer_counts_however_long_the_end_of_its_process_takes():
    """On a loaded machine a process with everything loaded took more than five seconds to end, and was killed: 137."""
    work = "announce()\nprint('unsat', flush=True)\nsupervision.done(3)\n" + STUBBORN
    assert outcome(work) == ("unsat\n", 3)


def test_a_child_that_crashes_is_an_error():
    assert outcome("os.kill(os.getpid(), signal.SIGKILL)") == ("", 137)


def test_without_leave_nobody_forks():
    script = "from eqverify.cli import supervision\nsupervision.supervise(0.0)()\nprint('here')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout == "here\n"


def test_where_the_system_cannot_fork_nobody_watches():
    script = "import os\ndel os.fork\n" + SCRIPT.format(seconds=0.0, work="announce()\nprint('unsat')")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout == "unsat\n"


def test_the_clock_runs_from_the_start_of_the_program_only_where_it_is_alone():
    script = (
        "import time\nfrom eqverify.cli import supervision\ntime.sleep(0.1)\n"
        "print(supervision.since_start())\nsupervision.allow()\nprint(supervision.since_start() >= 0.1)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout.splitlines() == ["0.0", "True"]


def test_a_note_of_the_child_is_read_by_the_parent():
    work = "note.write(1024)\ntime.sleep(60)"
    script = SCRIPT.format(seconds=0.2, work=work)
    script = script.replace("announce =", "note = supervision.Note()\nannounce =").replace('"timed-out"', "note.read()")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout == "1024\n"
