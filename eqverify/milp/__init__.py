"""Mixed-integer programming: the encoding of ReLU networks, and SCIP."""
