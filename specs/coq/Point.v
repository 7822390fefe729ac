(** One input, evaluated exactly (K-14): integers over one denominator. *)
Require Import ZArith List Bool Reals Lra Lia.
Require Import Network Numbers Packed Check.
Import ListNotations.
Open Scope Z_scope.

(** The values of the last layer, over a denominator. *)
Fixpoint evaluate (net : network) (point : list Z) (denominator : Z) : list Z * Z :=
  match net with
  | [] => (point, denominator)
  | l :: before =>
      let '(z, d) := evaluate before point denominator in
      let h := if behind_relu l then map (Z.max 0) z else z in
      (map (fun unit => zdot (fst unit) h + snd unit * d) (combine (weights l) (bias l)), Z.shiftl d (shift l))
  end.

Definition satisfied (point values : list Z) (denominator d : Z) (row : bool * constraint) : bool :=
  let '(strict, c) := row in
  let left := zdot (on_outputs c) values * denominator + zdot (on_inputs c) point * d in
  let right := limit c * (denominator * d) in
  if strict then left <? right else left <=? right.

Definition check_point (net : network) (rows : list (bool * constraint)) (point : list Z) (denominator : Z) : bool :=
  (0 <? denominator) && well_formed net &&
  let '(values, d) := evaluate net point denominator in forallb (satisfied point values denominator d) rows.

Open Scope R_scope.

Definition over (d : Z) (v : list Z) : list R := map (fun n => IZR n / IZR d) v.

Lemma dot_over : forall d row v, dot row (over d v) = IZR (zdot row v) / IZR d.
Proof.
  induction row as [|a row IH]; intros [|n v]; simpl; unfold Rdiv; try ring.
  fold (over d v). rewrite IH, plus_IZR, mult_IZR. unfold Rdiv. ring.
Qed.

Lemma relu_over : forall d v, (0 < d)%Z -> map relu (over d v) = over d (map (Z.max 0) v).
Proof.
  intros d v D. apply IZR_lt in D. unfold over. rewrite !map_map. apply map_ext. intros n. unfold relu.
  pose proof (Rinv_0_lt_compat _ D) as P. unfold Rdiv, Rmax. destruct (Z_le_dec 0 n) as [N|N].
  - rewrite Z.max_r by exact N. apply IZR_le in N. destruct (Rle_dec 0 (IZR n * / IZR d)); [reflexivity | nra].
  - rewrite Z.max_l by lia. assert (M : IZR n < 0) by (apply IZR_lt; lia).
    destruct (Rle_dec 0 (IZR n * / IZR d)); [nra | ring].
Qed.

Lemma evaluate_sound : forall net point denominator, (0 < denominator)%Z -> well_formed net = true ->
  forall v d, evaluate net point denominator = (v, d) -> (0 < d)%Z /\ value net (over denominator point) = over d v.
Proof.
  intros net point denominator D. induction net as [|l net IH]; intros W v d E.
  - injection E as <- <-. auto.
  - unfold well_formed in *. simpl in W. apply andb_true_iff in W. destruct W as [W W'].
    apply andb_true_iff in W. destruct W as [K _]. apply Z.leb_le in K.
    simpl in E. destruct (evaluate net point denominator) as [z d'] eqn:E'.
    destruct (IH W' _ _ eq_refl) as [D' V]. injection E as <- <-.
    pose proof (power_positive _ K) as P.
    split; [rewrite Z.shiftl_mul_pow2 by exact K; apply Z.mul_pos_pos; [exact D' | apply Z.pow_pos_nonneg; lia] |].
    simpl. rewrite V. set (h := if behind_relu l then map (Z.max 0) z else z).
    assert (H : activation (behind_relu l) (over d' z) = over d' h).
    { unfold h, activation. destruct (behind_relu l); [apply relu_over; exact D' | reflexivity]. }
    rewrite H. unfold affine, over at 2. rewrite map_map. apply map_ext. intros [w b]. cbn [fst snd].
    rewrite dot_over, shifted, plus_IZR, mult_IZR by exact K. apply IZR_lt in D'. field. lra.
Qed.

(** There is an input that satisfies all rows. *)
Theorem check_point_sound : forall net rows point denominator, check_point net rows point denominator = true ->
  exists x, Forall (holds_as_written net x) rows.
Proof.
  intros net rows point denominator E. unfold check_point in E.
  apply andb_true_iff in E. destruct E as [E F]. apply andb_true_iff in E. destruct E as [D W].
  apply Z.ltb_lt in D. destruct (evaluate net point denominator) as [v d] eqn:V.
  destruct (evaluate_sound net point denominator D W _ _ V) as [D' Y].
  exists (over denominator point). rewrite forallb_forall in F. apply Forall_forall. intros [strict c] R.
  specialize (F _ R). unfold satisfied in F. unfold holds_as_written.
  rewrite Y, !dot_over. apply IZR_lt in D, D'.
  set (a := zdot (on_outputs c) v) in *. set (b := zdot (on_inputs c) point) in *.
  assert (Q : 0 < IZR denominator * IZR d) by (apply Rmult_lt_0_compat; assumption).
  assert (L : IZR (a * denominator + b * d) = (IZR a / IZR d + IZR b / IZR denominator) * (IZR denominator * IZR d)).
  { rewrite plus_IZR, !mult_IZR. field. lra. }
  assert (M : IZR (limit c * (denominator * d)) = IZR (limit c) * (IZR denominator * IZR d)) by (rewrite !mult_IZR; ring).
  destruct strict; [apply Z.ltb_lt, IZR_lt in F | apply Z.leb_le, IZR_le in F]; rewrite L, M in F.
  - apply (Rmult_lt_reg_r _ _ _ Q). exact F.
  - apply (Rmult_le_reg_r _ _ _ Q). exact F.
Qed.

Print Assumptions check_point_sound.
