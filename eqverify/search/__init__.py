"""Branch and bound: over boxes, with one engine for all kinds of goals, and over signs of units.

`engine.BoxSearch` halves boxes; a *bounder* says what the goals are and proves them on a box: `sign_bounder` for signs
of units, `assumption_bounder` for boxes that miss what satisfies constraints, `eqverify.equivalence.splitting` for
differences of two networks.
"""
