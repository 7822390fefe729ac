"""The pipeline of `reduce`: prove, rewrite, prove eps, write, compare, certify; for all inputs or part of them."""
