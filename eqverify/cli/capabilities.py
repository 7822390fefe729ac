"""What `eqverify supports` says, from the tables of the front ends."""

from __future__ import annotations


def capability(name: str) -> list[str]:
    """The lines of one capability of the VNN-LIB 2 standard, named as its option with underscores.

    Element types: the analysis is one of real arithmetic, which the standard calls ``real``.  Theories: no hidden
    nodes; several inputs and outputs; any number of networks, whatever they are declared to have in common, which
    nothing rests on; comparisons of several nodes; linear constraints.  Proofs of ``unsat``: those that
    `eqverify check` verifies (``verify --proof``), of every kind of property that is decided over the reals.
    """
    from eqverify.frontend.onnx import operator_table, opset_range

    lines: dict[str, list[str]] = {
        "onnx_opset_versions": [str(version) for version in opset_range()],
        "onnx_element_types": ["real"],
        "onnx_operators": sorted({entry.name for entry in operator_table()}),
        "vnnlib_versions": ["1.0", "2.0"],
        "hidden_node_theories": ["NH"],
        "multiple_input_output_theories": ["SIO", "MIO"],
        "multiple_network_theories": ["SNET", "MENET", "MINET", "MNET"],
        "multiple_node_comparison_theories": ["SNC", "MNC"],
        "arithmetic_complexity_theories": ["BND", "OUTC", "LIN"],
        "optimised_disjunctive_reasoning": ["false"],
        "serialise_assignments": ["true"],
        "unsat_proofs": ["true"],
    }
    return lines[name]
