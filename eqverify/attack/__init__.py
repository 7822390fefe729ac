"""Inputs that show something: how they are made, moved by gradients, and replayed."""
