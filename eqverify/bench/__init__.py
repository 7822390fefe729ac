"""Sweeps over instances of the competition: resumable, isolated, local or on a cluster."""
