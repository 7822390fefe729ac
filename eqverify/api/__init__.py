"""eqverify from Python, a file per job.  Functions take paths or loaded objects, raise `EqverifyError`, never print."""
