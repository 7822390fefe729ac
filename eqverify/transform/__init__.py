"""Rewrites of networks that use facts about units, and the proof of what they change.  Never calls a solver."""
