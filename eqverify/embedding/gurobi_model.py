"""A formulation as a predictor of gurobi-machinelearning: importing this module registers it there."""

from __future__ import annotations

from typing import Any

import gurobipy as gp
import numpy as np
from gurobi_ml.modeling.base_predictor_constr import AbstractPredictorConstr
from gurobi_ml.register_user_predictor import register_predictor_constr

from eqverify.embedding.formulation import Formulation


class NetworkConstr(AbstractPredictorConstr):  # type: ignore[misc]
    """What `gurobi_ml.add_predictor_constr(model, formulation, x, y)` adds and returns."""

    def __init__(
        self, gp_model: Any, predictor: Formulation, input_vars: Any, output_vars: Any = None, **options: Any
    ) -> None:
        self.predictor, self._default_name = predictor, "eqverify"
        self._input_shape, self._output_shape = predictor.inputs, predictor.outputs
        super().__init__(gp_model, input_vars, output_vars, **options)

    def _mip_model(self, **_: Any) -> None:
        own, model = self.predictor, self.gp_model
        n, m, infinity = own.inputs, own.outputs, gp.GRB.INFINITY
        equal = own.row_lower == own.row_upper
        kinds = np.where(own.binary[n + m :], gp.GRB.BINARY, gp.GRB.CONTINUOUS)
        for x, y in zip(self.input, self.output, strict=True):
            v = model.addMVar(own.lower.size - n - m, lb=own.lower[n + m :], ub=own.upper[n + m :], vtype=kinds)
            for given, start in ((x, 0), (y, n)):
                stop = start + given.size
                model.addConstr(given >= own.lower[start:stop])
                model.addConstr(given <= own.upper[start:stop])
            total = own.matrix[:, :n] @ x + own.matrix[:, n : n + m] @ y + own.matrix[:, n + m :] @ v
            model.addConstr(total[equal] == own.row_lower[equal])
            for sides, below in ((own.row_upper, True), (-own.row_lower, False)):
                used = ~equal & (sides < infinity)
                model.addConstr(total[used] <= sides[used]) if below else model.addConstr(-total[used] <= sides[used])

    def get_error(self, eps: float | None = None) -> Any:
        """Not known: the formulation does not evaluate its network."""
        raise NotImplementedError


register_predictor_constr(Formulation, NetworkConstr)
