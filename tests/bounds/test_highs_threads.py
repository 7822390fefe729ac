"""HiGHS in a process where somebody else used it before, with another number of threads."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import highspy
import numpy as np
from eqverify.bounds.lp import LpLayer

other = highspy.Highs()
other.setOptionValue("output_flag", False)
other.setOptionValue("threads", 2)
other.addVar(0.0, 1.0)
other.run()
layer = LpLayer(np.zeros(2), np.ones(2), np.ones((1, 2)), np.ones(1))
print(layer.bound(np.ones(2)).value)
"""


def test_bounds_are_as_good_as_in_a_process_of_their_own():
    """Found as a user: after a model was solved through Pyomo, all linear programs failed without a word."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert 1.0 <= float(done.stdout.split()[-1]) < 1.000001
