"""Problems and solvers that other processes can import."""

import os
import time
from itertools import pairwise

import numpy as np

from eqverify.domain import box_domain
from eqverify.milp.encoding import Answer, Verdict
from eqverify.problem import domain_problem
from eqverify.testing.chains import chain_network


def problem(seed=1, width=12, radius=0.5):
    random = np.random.default_rng(seed)
    sizes = [4, width, width, width, 2]
    layers = [(random.normal(size=(m, n)), random.normal(size=m)) for n, m in pairwise(sizes)]
    return domain_problem(chain_network(layers), box_domain(-radius * np.ones(4), radius * np.ones(4)))


class SlowFactory:
    """Models that need three seconds for a question."""

    def __call__(self, polytope):
        return SlowSolver()


class SlowSolver:
    description = "slow"

    def add_units(self, block):
        pass

    def exceeds(self, row, threshold, time_limit):
        time.sleep(3.0)
        return Answer(Verdict.UNKNOWN, reason="timelimit")


class DyingFactory:
    """Models that take their process with them."""

    def __call__(self, polytope):
        return DyingSolver()


class DyingSolver:
    description = "dies"

    def exceeds(self, row, threshold, time_limit):
        os._exit(1)

    def add_units(self, block):
        pass


def fine(value):
    return value + 1


def wrong(value):
    raise ValueError(value)
