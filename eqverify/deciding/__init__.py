"""Deciding whether an output condition can be met: backends, and the replay of what they find."""
