(** What a problem says: networks over the real numbers, boxes, constraints (specs/semantics.md).

    All numbers that a problem holds are integers; powers of two divide them.  This file and the statement of the
    theorem in [Sound.v] are what has to be read to know what is proved. *)
Require Import ZArith List Reals.
Import ListNotations.
Open Scope Z_scope.

(** z = (W h + b) / 2^shift: a row of [weights] and a number of [bias] for each unit.  What the layer reads passes
    a ReLU first, or does not. *)
Record layer := Layer { weights : list (list Z); bias : list Z; shift : Z; behind_relu : bool }.

(** The last layer comes first. *)
Definition network := list layer.

Fixpoint dot (row : list Z) (v : list R) : R :=
  match row, v with
  | a :: row', x :: v' => (IZR a * x + dot row' v')%R
  | _, _ => 0%R
  end.

Definition power (k : Z) : R := IZR (2 ^ k).

Definition affine (l : layer) (h : list R) : list R :=
  map (fun unit => ((dot (fst unit) h + IZR (snd unit)) / power (shift l))%R) (combine (weights l) (bias l)).

Definition relu (z : R) : R := Rmax 0 z.

Definition activation (active : bool) (v : list R) : list R := if active then map relu v else v.

(** The values of the last layer; of no layers, the inputs. *)
Fixpoint value (net : network) (x : list R) : list R :=
  match net with
  | [] => x
  | l :: before => affine l (activation (behind_relu l) (value before x))
  end.

(** A lower and an upper bound for each number, times 2^scale. *)
Definition bounds := list (Z * Z).

Definition inside (scale : Z) (b : bounds) (v : list R) : Prop :=
  Forall2 (fun range y => (IZR (fst range) <= power scale * y <= IZR (snd range))%R) b v.

(** outputs y + inputs x <= limit / 2^scale *)
Record constraint := Constraint { on_outputs : list Z; on_inputs : list Z; limit : Z }.

Definition holds (scale : Z) (net : network) (x : list R) (c : constraint) : Prop :=
  (power scale * (dot (on_outputs c) (value net x) + dot (on_inputs c) x) <= IZR (limit c))%R.

(** Inputs in a box that satisfy constraints, with outputs that satisfy all constraints of a disjunct. *)
Record case := Case { box : bounds; common : list constraint; disjuncts : list (list constraint) }.

Record problem := Problem { net : network; scale : Z; cases : list case }.

Definition in_case (p : problem) (c : case) (x : list R) : Prop :=
  inside (scale p) (box c) x /\ Forall (holds (scale p) (net p) x) (common c).

(** The input satisfies the property: what a verifier looks for. *)
Definition satisfies (p : problem) (x : list R) : Prop :=
  exists c, In c (cases p) /\ in_case p c x /\ exists d, In d (disjuncts c) /\ Forall (holds (scale p) (net p) x) d.

(** Two networks differ by at most epsilon_k / 2^scale in the output k. *)
Definition near (scale : Z) (epsilon : list Z) (f g : network) (x : list R) : Prop :=
  forall k e, nth_error epsilon k = Some e -> (power scale * Rabs (nth k (value f x) 0 - nth k (value g x) 0) <= IZR e)%R.

(** Signs of units, layers counted from the outputs: 1 for never negative, -1 for never positive, 0 for nothing. *)
Definition signed (signs : list (list Z)) (f : network) (x : list R) : Prop :=
  forall t u, (t <= length f)%nat -> (0 <= IZR (nth u (nth t signs []) 0%Z) * nth u (value (skipn t f) x) 0)%R.

(** A constraint of integers as it is written, strict or not; and that an input satisfies it. *)
Definition holds_as_written (net : network) (x : list R) (row : bool * constraint) : Prop :=
  let '(strict, c) := row in
  let y := (dot (on_outputs c) (value net x) + dot (on_inputs c) x)%R in
  if strict then (y < IZR (limit c))%R else (y <= IZR (limit c))%R.
