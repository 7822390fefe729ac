"""How far any run of a network can be from the function of real numbers that it means (specs/runtime.md)."""

from eqverify.runtime_error.propagation import domain_errors, node_bounds, point_errors, runtime_errors

__all__ = ["domain_errors", "node_bounds", "point_errors", "runtime_errors"]
