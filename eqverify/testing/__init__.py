"""Tools for testing eqverify and what is built on it.

Modules are imported one by one, for only `strategies` and `drawing` need hypothesis:

- `eqverify.testing.strategies`: hypothesis strategies for networks, domains, properties and problems;
- `eqverify.testing.features`: names of the hard cases that a network and a domain contain;
- `eqverify.testing.oracle`: exact stability, ranges and deviations by enumeration of linear regions;
- `eqverify.testing.handmade`: small problems solved by hand.
"""
