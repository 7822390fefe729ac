"""Networks as rows over inputs and earlier units, relations between units, and the rewrites that use them."""
