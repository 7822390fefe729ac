"""A network as a part of somebody else's optimisation model: few binaries, and big-M constants that are proved.

`formulation.formulate` makes the constraints; one module for each kind of model adds them: `files` (MPS and LP),
`pyomo_block`, `omlt_network`, `scip_model` (PySCIPOpt-ML) and `gurobi_model` (gurobi-machinelearning).  Verifiers get
the proved ranges alone: `marabou_query` and `lirpa_bounds` (auto_LiRPA, alpha-beta-CROWN).  Each imports its package
when it is imported; none of them is needed for anything else.
"""

from eqverify.embedding.formulation import Formulation, formulate

__all__ = ["Formulation", "formulate"]
