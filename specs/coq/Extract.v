(** The checker as a program of OCaml, with the integers of zarith. *)
Require Import ZArith ExtrOcamlBasic ExtrOcamlNatInt ExtrOcamlZBigInt.
Require Import Network Packed Bound Check.
Extract Constant Z.land => "Z.logand".
Extraction "kernel.ml" check.
