"""A template of a package that adds to eqverify: see README.md beside it."""
