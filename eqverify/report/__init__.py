"""What a reduction did, as numbers, text and pictures.  Prints nothing."""
