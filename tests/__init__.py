"""Tests: README.md says what goes where.  Helpers are imported relatively."""
