"""The commands, one file each.  Each loads, calls `eqverify.api`, and renders."""
