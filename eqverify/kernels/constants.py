"""Numbers that both forms of the kernels share."""

MOMENTS = (0.9, 0.999)
"""Decay of Adam's means of gradients and of their squares."""

TINY = 1e-8
"""Added to the root of the second, so that nothing is divided by 0."""
