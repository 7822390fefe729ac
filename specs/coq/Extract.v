(** The checkers as a program of OCaml, with the integers of zarith. *)
Require Import ZArith ExtrOcamlBasic ExtrOcamlNatInt ExtrOcamlZBigInt.
Require Import Network Packed Bound Check Pair Point.
Extract Constant Z.land => "Z.logand".
Extraction "kernel.ml" check check_pair check_point.
