(** A row of integers as one large integer, so that a multiple of a row is one product.

    Digits to the base 2^width, each from -2^(width-1) to 2^(width-1) - 1. *)
Require Import ZArith List Lia Bool Reals.
Require Import Network.
Import ListNotations.
Open Scope Z_scope.

Fixpoint pack (width : Z) (v : list Z) : Z :=
  match v with [] => 0 | a :: rest => a + Z.shiftl (pack width rest) width end.

(** The same, by halves: shorter sums. *)
Fixpoint pack_halves (depth : nat) (width : Z) (v : list Z) : Z :=
  match depth with
  | O => pack width v
  | S less =>
      let n := Nat.div2 (length v) in
      pack_halves less width (firstn n v) + Z.shiftl (pack_halves less width (skipn n v)) (width * Z.of_nat n)
  end.

Fixpoint unpack (width half ones : Z) (count : nat) (z : Z) : list Z :=
  match count with
  | O => []
  | S more =>
      let low := Z.land z ones in
      let rest := Z.shiftr z width in
      if low <? half then low :: unpack width half ones more rest
      else (low - 2 * half) :: unpack width half ones more (rest + 1)
  end.

Fixpoint plus (u v : list Z) : list Z :=
  match u, v with
  | [], _ => v
  | _, [] => u
  | a :: u', b :: v' => a + b :: plus u' v'
  end.

(** sum of c_j w_j *)
Fixpoint mixed (cs : list Z) (ws : list (list Z)) : list Z :=
  match cs, ws with
  | c :: cs', w :: ws' => if c =? 0 then mixed cs' ws' else plus (map (Z.mul c) w) (mixed cs' ws')
  | _, _ => []
  end.

Fixpoint mix (cs ps : list Z) (total : Z) : Z :=
  match cs, ps with
  | c :: cs', p :: ps' => if c =? 0 then mix cs' ps' total else mix cs' ps' (total + c * p)
  | _, _ => total
  end.

Fixpoint size (cs : list Z) : Z := match cs with [] => 0 | c :: rest => Z.abs c + size rest end.

(** A layer with its packed rows; [most] is the size of the largest weight. *)
Record packed := Packed { plain : layer; rows : list Z; count : nat; most : Z; width : Z; half : Z; ones : Z }.

Definition largest (w : list Z) : Z := fold_right (fun a m => Z.max (Z.abs a) m) 0 w.

Definition prepare (width : Z) (l : layer) : packed :=
  Packed l (map (pack_halves 6 width) (weights l)) (fold_right (fun w m => Nat.max (length w) m) O (weights l))
    (fold_right (fun w m => Z.max (largest w) m) 0 (weights l)) width (Z.shiftl 1 (width - 1)) (Z.ones width).

(** The row times the matrix; None where digits might be too large. *)
Definition back (l : packed) (row : list Z) : option (list Z) :=
  if (1 <? width l) && (size row * most l <? half l) then
    Some (unpack (width l) (half l) (ones l) (count l) (mix row (rows l) 0))
  else None.

(** * Sums of rows *)

Lemma dot_nil : forall u, dot u [] = 0%R.
Proof. destruct u; reflexivity. Qed.

Lemma dot_plus : forall u v h, dot (plus u v) h = (dot u h + dot v h)%R.
Proof.
  induction u as [|a u IH]; intros [|b v] [|x h]; simpl; try ring.
  rewrite plus_IZR, IH. ring.
Qed.

Lemma dot_scale : forall c u h, dot (map (Z.mul c) u) h = (IZR c * dot u h)%R.
Proof.
  induction u as [|a u IH]; intros [|x h]; simpl; try ring.
  rewrite mult_IZR, IH. ring.
Qed.

Fixpoint zdot (u v : list Z) : Z :=
  match u, v with a :: u', b :: v' => a * b + zdot u' v' | _, _ => 0 end.

Lemma dot_affine : forall row ws bs p h, length ws = length bs ->
  dot row (map (fun unit => ((dot (fst unit) h + IZR (snd unit)) / p)%R) (combine ws bs))
  = ((dot (mixed row ws) h + IZR (zdot row bs)) / p)%R.
Proof.
  induction row as [|a row IH]; intros [|w ws] [|b bs] p h E; simpl in *; try discriminate;
    try (unfold Rdiv; ring).
  injection E as E. rewrite (IH ws bs p h E).
  destruct (Z.eqb_spec a 0) as [->|].
  - rewrite plus_IZR, mult_IZR. unfold Rdiv. ring.
  - rewrite dot_plus, dot_scale, plus_IZR, mult_IZR. unfold Rdiv. ring.
Qed.

(** * Packing *)

Lemma pack_plus : forall w u v, 0 <= w -> pack w (plus u v) = pack w u + pack w v.
Proof.
  induction u as [|a u IH]; intros [|b v] W; simpl; try ring.
  rewrite IH by assumption. rewrite !Z.shiftl_mul_pow2 by assumption. ring.
Qed.

Lemma pack_scale : forall w c u, 0 <= w -> pack w (map (Z.mul c) u) = c * pack w u.
Proof.
  induction u as [|a u IH]; intros W; simpl; try ring.
  rewrite IH by assumption. rewrite !Z.shiftl_mul_pow2 by assumption. ring.
Qed.

Lemma pack_app : forall w u v, 0 <= w -> pack w (u ++ v) = pack w u + Z.shiftl (pack w v) (w * Z.of_nat (length u)).
Proof.
  induction u as [|a u IH]; intros v W.
  - simpl. rewrite Z.mul_0_r, Z.shiftl_0_r. reflexivity.
  - cbn [app pack length]. rewrite IH by exact W. rewrite !Z.shiftl_mul_pow2 by lia.
    replace (w * Z.of_nat (S (length u))) with (w * Z.of_nat (length u) + w) by lia.
    rewrite Z.pow_add_r by lia. ring.
Qed.

Lemma pack_by_halves : forall w depth v, 0 <= w -> pack_halves depth w v = pack w v.
Proof.
  induction depth as [|depth IH]; intros v W; cbn [pack_halves]; [reflexivity |].
  rewrite !IH by exact W. set (n := Nat.div2 (length v)).
  assert (L : length (firstn n v) = n).
  { apply firstn_length_le. unfold n. rewrite Nat.div2_div. apply Nat.div_le_upper_bound; lia. }
  replace (w * Z.of_nat n) with (w * Z.of_nat (length (firstn n v))) by (rewrite L; reflexivity).
  rewrite <- pack_app by exact W. rewrite firstn_skipn. reflexivity.
Qed.

Global Arguments pack_halves : simpl never.

Lemma mix_mixed : forall w cs ws t, 0 <= w -> mix cs (map (pack w) ws) t = t + pack w (mixed cs ws).
Proof.
  induction cs as [|c cs IH]; intros [|v ws] t W; simpl; try ring.
  destruct (Z.eqb_spec c 0) as [->|].
  - apply IH; assumption.
  - rewrite IH, pack_plus, pack_scale by assumption. ring.
Qed.

Definition small (m : Z) (u : list Z) : Prop := Forall (fun a => Z.abs a <= m) u.

Lemma small_weaker : forall m n u, m <= n -> small m u -> small n u.
Proof. intros m n u L. apply Forall_impl. intros; lia. Qed.

Lemma small_plus : forall m n u v, 0 <= m -> 0 <= n -> small m u -> small n v -> small (m + n) (plus u v).
Proof.
  intros m n u v M N U. revert v. induction U as [|a u A U IH]; intros [|b v] V; simpl.
  - constructor.
  - apply (small_weaker n); [lia | exact V].
  - apply (small_weaker m); [lia |]. constructor; assumption.
  - inversion V; subst. constructor; [lia |]. apply IH; assumption.
Qed.

Lemma size_nonnegative : forall cs, 0 <= size cs.
Proof. induction cs; simpl; lia. Qed.

Lemma small_mixed : forall m cs ws, 0 <= m -> Forall (small m) ws -> small (size cs * m) (mixed cs ws).
Proof.
  intros m cs. induction cs as [|c cs IH]; intros ws M W; simpl; [constructor |].
  pose proof (size_nonnegative cs) as N.
  destruct W as [|w ws A W]; [constructor |].
  destruct (Z.eqb_spec c 0) as [->|].
  - apply (small_weaker (size cs * m)); [nia | auto].
  - rewrite Z.mul_add_distr_r. apply small_plus; [nia | nia | | auto].
    unfold small in *. rewrite Forall_map. revert A. apply Forall_impl. intros a A. rewrite Z.abs_mul. nia.
Qed.

Lemma length_plus : forall u v n, (length u <= n -> length v <= n -> length (plus u v) <= n)%nat.
Proof.
  induction u as [|a u IH]; intros [|b v] n U V; simpl in *; try lia.
  destruct n; [lia |]. specialize (IH v n). lia.
Qed.

Lemma length_mixed : forall n cs ws, Forall (fun w => (length w <= n)%nat) ws -> (length (mixed cs ws) <= n)%nat.
Proof.
  induction cs as [|c cs IH]; intros ws W; simpl; [lia |].
  destruct W as [|w ws A W]; [simpl; lia |].
  destruct (Z.eqb_spec c 0); auto. apply length_plus; auto. rewrite map_length. exact A.
Qed.

Lemma unpack_zero : forall w half ones n h, 0 < half -> 0 <= w ->
  dot (unpack w half ones n 0) h = 0%R.
Proof.
  intros w half ones n h H W. revert h. induction n as [|n IH]; intros h; simpl; [reflexivity |].
  destruct (Z.ltb_spec 0 half); [| lia].
  rewrite Z.shiftr_0_l. destruct h as [|x h]; simpl; [reflexivity |]. rewrite IH. ring.
Qed.

Lemma unpack_pack : forall w n v h, 1 < w -> (length v <= n)%nat -> small (2 ^ (w - 1) - 1) v ->
  dot (unpack w (2 ^ (w - 1)) (Z.ones w) n (pack w v)) h = dot v h.
Proof.
  intros w n v h W. revert v h.
  assert (H : 0 < 2 ^ (w - 1)) by (apply Z.pow_pos_nonneg; lia).
  assert (D : 2 ^ w = 2 * 2 ^ (w - 1)) by (rewrite <- Z.pow_succ_r by lia; f_equal; lia).
  induction n as [|n IH]; intros v h L S.
  - destruct v; simpl in *; [reflexivity | lia].
  - destruct v as [|a v].
    + rewrite unpack_zero by lia. reflexivity.
    + inversion S as [|? ? A S']; subst. simpl in L.
      cbn [unpack pack]. rewrite Z.land_ones by lia.
      rewrite Z.shiftr_div_pow2, Z.shiftl_mul_pow2 by lia.
      rewrite Z.mod_add, Z.div_add by lia.
      destruct (Z_lt_le_dec a 0).
      * assert (Q : a / 2 ^ w = -1) by (symmetry; apply (Z.div_unique_pos a (2 ^ w) (-1) (a + 2 ^ w)); lia).
        assert (M : a mod 2 ^ w = a + 2 ^ w) by (symmetry; apply (Z.mod_unique_pos a (2 ^ w) (-1) (a + 2 ^ w)); lia).
        rewrite Q, M. destruct (Z.ltb_spec (a + 2 ^ w) (2 ^ (w - 1))); [lia |].
        replace (-1 + pack w v + 1) with (pack w v) by ring.
        replace (a + 2 ^ w - 2 * 2 ^ (w - 1)) with a by lia.
        destruct h as [|x h]; simpl; [reflexivity |]. rewrite IH by (assumption || lia). reflexivity.
      * rewrite Z.div_small, Z.mod_small by lia.
        destruct (Z.ltb_spec a (2 ^ (w - 1))); [| lia]. rewrite Z.add_0_l.
        destruct h as [|x h]; simpl; [reflexivity |]. rewrite IH by (assumption || lia). reflexivity.
Qed.

Lemma largest_small : forall w, small (largest w) w.
Proof.
  induction w as [|a w IH]; simpl; constructor; [lia |]. revert IH. apply Forall_impl. intros; lia.
Qed.

Lemma largest_nonnegative : forall w, 0 <= largest w.
Proof. induction w; simpl; lia. Qed.

Lemma most_small : forall ws, Forall (small (fold_right (fun w m => Z.max (largest w) m) 0 ws)) ws.
Proof.
  induction ws as [|w ws IH]; simpl; constructor.
  - apply (small_weaker (largest w)); [lia | apply largest_small].
  - revert IH. apply Forall_impl. intros. eapply small_weaker; [| eassumption]. lia.
Qed.

Lemma count_enough : forall ws : list (list Z),
  Forall (fun w => (length w <= fold_right (fun w m => Nat.max (length w) m) O ws)%nat) ws.
Proof.
  induction ws as [|w ws IH]; simpl; constructor; [lia |]. revert IH. apply Forall_impl. intros; lia.
Qed.

Theorem back_sound : forall w l row arrived h, back (prepare w l) row = Some arrived ->
  dot arrived h = dot (mixed row (weights l)) h.
Proof.
  intros w l row arrived h. unfold back, prepare; simpl.
  destruct (Z.ltb_spec 1 w) as [W|]; [| discriminate].
  rewrite Z.shiftl_1_l. simpl.
  set (m := fold_right (fun w m => Z.max (largest w) m) 0 (weights l)).
  destruct (Z.ltb_spec (size row * m) (2 ^ (w - 1))) as [S|]; [| discriminate].
  intros [= <-]. rewrite (map_ext _ (pack w)) by (intros; apply pack_by_halves; lia). rewrite mix_mixed by lia. rewrite Z.add_0_l. apply unpack_pack; [lia | |].
  - apply length_mixed, count_enough.
  - apply (small_weaker (size row * m)); [lia |]. apply small_mixed; [| apply most_small].
    unfold m. clear. induction (weights l); simpl; lia.
Qed.
