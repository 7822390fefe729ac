"""What a reduced network may claim, in words that files, reports and JSON share."""

DIRECTED_CLAIM = "equisatisfiable with signs"
"""The claim of a network made for one disjunct of a property (specs/semantics.md, S-16 and S-17).

It is not equivalent to the original.  Where it satisfies the disjunct, relaxed by eps, nowhere on the inputs, the
original satisfies the disjunct nowhere; the converse needs the signs that were assumed of units, so that an input found
for the reduced network must be replayed on the original.
"""
