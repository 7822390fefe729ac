"""A formulation as a predictor of PySCIPOpt-ML."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyscipopt_ml.modelling.base_predictor_constraint import AbstractPredictorConstr

from eqverify.embedding.formulation import Formulation
from eqverify.milp.scip import total


class NetworkConstr(AbstractPredictorConstr):  # type: ignore[misc]
    """What was added to a SCIP model: as of `pyscipopt_ml.add_predictor_constr`, with the same attributes.

    A unit that takes both signs is z = h - s with h, s >= 0 of which one is 0 (SOS1), as in PySCIPOpt-ML, and the chord
    above h: SCIP branches on such pairs faster than on the binaries of the formulation, whose rows are left out.
    """

    def __init__(
        self, scip_model: Any, formulation: Formulation, input_vars: Any, output_vars: Any, prefix: str
    ) -> None:
        self.predictor, self.input_size, self.output_size = formulation, formulation.inputs, formulation.outputs
        super().__init__(scip_model, input_vars, output_vars, prefix)

    def _mip_model(self, **_: Any) -> None:
        for x, y in zip(np.asarray(self.input), np.asarray(self.output), strict=True):
            self._add(list(x), list(y))

    def _add(self, x: list[Any], y: list[Any]) -> None:
        """One sample: its inputs and outputs get the formulation's bounds, too."""
        model, formulation = self.scip_model, self.predictor
        given = x + y
        ends = list(zip(formulation.lower.tolist(), formulation.upper.tolist(), strict=True))
        for variable, (low, high) in zip(given, ends, strict=False):
            model.chgVarLb(variable, max(low, variable.getLbOriginal()))
            model.chgVarUb(variable, min(high, variable.getUbOriginal()))
        prefix = f"{self.unique_naming_prefix}{len(self._created_vars)}_"
        columns, rows = [*given], []
        for z, h, d in formulation.units():
            names, (low, high) = formulation.names, ends[z]
            before, after = (model.addVar(prefix + names[k], "C", *ends[k]) for k in (z, h))
            less = model.addVar(f"{prefix}{names[d]}_less", "C", 0.0, -low)
            rows.append(model.addCons(after - less == before))
            rows.append(model.addCons(after <= high / (high - low) * (before - low)))
            rows.append(model.addConsSOS1([after, less]))
            columns += [before, after, less]
        for entries, low, high in formulation.rows():
            if low != high and all(column >= len(given) for column, _ in entries):
                continue  # of binaries: what a unit makes of z
            row = total(value * columns[column] for column, value in entries)
            rows += [model.addCons(row >= low)] if np.isfinite(low) and low != high else []
            rows += [model.addCons(row <= high)] if np.isfinite(high) and low != high else []
            rows += [model.addCons(row == low)] if low == high else []
        made = columns[len(given) :]
        self._created_vars.append(np.array(made, dtype=object))
        self._created_cons.append(np.array(rows, dtype=object))

    def get_error(self, eps: float | None = None) -> Any:
        """Not known: the formulation does not evaluate its network."""
        raise NotImplementedError


def add_predictor_constr(
    scip_model: Any,
    formulation: Formulation,
    input_vars: Any,
    output_vars: Any = None,
    unique_naming_prefix: str = "p_",
) -> NetworkConstr:
    """As `pyscipopt_ml.add_predictor_constr`, for a formulation.

    Args:
        scip_model: `pyscipopt.Model`.
        formulation: the network on its domain; inputs are kept within the domain.
        input_vars: variables (inputs,) or (samples, inputs).
        output_vars: likewise; made where not given.
        unique_naming_prefix: of the names of new variables.
    """
    return NetworkConstr(scip_model, formulation, input_vars, output_vars, unique_naming_prefix)
