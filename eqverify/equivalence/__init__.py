"""Judging whether two networks agree on a domain.

`portfolio.decide` is the portfolio: differential bounds with input splitting, the product MILP, and Z3.
`exact.cross_check` asks z3 alone, in exact rational arithmetic, for an input on which they differ by more than epsilon;
it is independent of bounds, certificates and rewrites, and meant for small networks.
"""
