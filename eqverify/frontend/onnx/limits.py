"""Sizes above which a model is refused, so that lying dimensions cannot exhaust memory."""

MAX_FILE_BYTES = 1 << 31
"""Bytes of an (uncompressed) model; protobuf itself stops here."""

MAX_COMPONENTS = 1 << 24
"""Components of one computed tensor, or of one constant produced by folding."""

MAX_WINDOW_READS = 1 << 26
"""Components that a sliding window reads of one padded channel, all its positions together."""

MAX_DENSE_ENTRIES = 1 << 25
"""Entries of a dense matrix built for a product that is not stored as a matrix (256 MB)."""

MAX_NODES = 1 << 18
"""Nodes of a model once the functions that it defines are unfolded."""
