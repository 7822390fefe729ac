(** Where a comparison is accepted, the two networks are within epsilon of each other on all inputs of the cases. *)
Require Import ZArith List Bool Reals Lra Lia.
Require Import Network Numbers Packed Links Bound Check Sound Pair.
Import ListNotations.
Open Scope R_scope.

(** * f *)

Record holds_of (f : side) (x : list R) : Prop := Holds {
  scale_of : (0 <= at_scale f)%Z; readable_of : Forall readable (of_net f);
  known_of : known (at_scale f) (networks (of_net f)) (ranges f) x;
  linked_of : all_linked (at_scale f) (networks (of_net f)) (equal f) x }.

Definition zs (f : side) (x : list R) := levels (networks (of_net f)) x.
Definition hs (f : side) (x : list R) := shown (networks (of_net f)) x.

Lemma most_on_sound : forall f az ah x v, holds_of f x -> most_on f az ah = Some v ->
  power (at_scale f) * (sum az (zs f x) + sum ah (hs f x)) <= IZR v.
Proof. intros f az ah x v [S R K L] E. exact (pulled_sound _ _ _ _ _ _ _ _ _ S R K L E). Qed.

Lemma nth_activation : forall active v u, nth u (activation active v) 0 = acts active (nth u v 0).
Proof.
  intros [|] v u; simpl; [| reflexivity]. revert u. induction v as [|y v IH]; intros [|u]; simpl; auto.
  all: unfold Rmax; destruct (Rle_dec 0 0); reflexivity.
Qed.

Lemma shown_at : forall net t x, nth t (shown net x) [] = activation (active_at net t) (nth t (levels net x) []).
Proof.
  intros net [|t] x; [reflexivity |]. unfold shown, levels, active_at. cbn [nth].
  revert t. induction net as [|l net IH]; intros t; simpl; [destruct t; reflexivity |].
  destruct t; [reflexivity | apply IH].
Qed.

Lemma behind_at : forall f x t u, active_at (networks (of_net f)) t = true ->
  nth u (nth t (hs f x) []) 0 = Rmax 0 (nth u (nth t (zs f x) []) 0).
Proof. intros f x t u A. unfold hs, zs. rewrite shown_at, A, nth_activation. reflexivity. Qed.

Lemma one_bit : forall bits, (0 <= bits)%Z -> IZR (Z.shiftl 1 bits) = power bits.
Proof. intros. rewrite shifted by assumption. ring. Qed.

Lemma nth_add_link : forall p k links t,
  nth t (add_link p k links) [] = if (t =? p)%nat then k :: nth p links [] else nth t links [].
Proof.
  induction p as [|p IH]; intros k links t; simpl.
  - destruct t as [|t], links; simpl; try reflexivity; destruct t; reflexivity.
  - destruct t as [|t], links as [|l links]; simpl; try reflexivity; rewrite IH; simpl.
    + destruct (t =? p)%nat, t, p; reflexivity.
    + reflexivity.
Qed.

Lemma nth_skip : forall A p t (v : list A) d, nth t (skipn p v) d = nth (p + t) v d.
Proof. induction p as [|p IH]; intros t [|a v] d; simpl; auto. destruct t; reflexivity. Qed.

Lemma relu_near : forall y z, Rabs (Rmax 0 y - Rmax 0 z) <= Rabs (y - z).
Proof.
  intros y z. unfold Rmax. destruct (Rle_dec 0 y), (Rle_dec 0 z); unfold Rabs;
    repeat destruct Rcase_abs; lra.
Qed.

Lemma relu_scaled : forall k y, 0 <= k -> Rmax 0 (k * y) = k * Rmax 0 y.
Proof. intros k y K. unfold Rmax. destruct (Rle_dec 0 y), (Rle_dec 0 (k * y)); nra. Qed.

Lemma relu_flipped : forall y, Rmax 0 (- y) = Rmax 0 y - y.
Proof. intros. unfold Rmax. destruct (Rle_dec 0 y), (Rle_dec 0 (- y)); lra. Qed.

(** A row of one's own bits is within bounds once they are taken away. *)
Lemma unscaled : forall s bits y v, (0 <= bits)%Z -> power s * (power bits * y) <= IZR v ->
  power s * y <= IZR (shrink bits v).
Proof. intros s bits y v B E. apply shrink_bound; [exact B |]. lra. Qed.

Lemma between : forall s y e f, 0 <= power s -> power s * y <= IZR e -> power s * - y <= IZR f ->
  power s * Rabs y <= IZR (Z.max e f).
Proof.
  intros s y e f P E F. pose proof (max_left e f). pose proof (max_right e f).
  unfold Rabs. destruct (Rcase_abs y); lra.
Qed.

Lemma premise_sound : forall f bits t k sign x v, holds_of f x -> (0 <= places k <= bits)%Z ->
  premise f bits t k sign = Some v ->
  power (at_scale f) * (IZR sign * (nth (from k) (nth t (zs f x) []) 0 + (if flipped k then 1 else -1) *
    (IZR (factor k) / power (places k) * nth (onto k) (nth (t + level k) (zs f x) []) 0))) <= IZR v.
Proof.
  intros f bits t k sign x v H B E. unfold premise in E.
  destruct (most_on f _ []) as [w|] eqn:M; [| discriminate]. injection E as <-.
  apply (most_on_sound _ _ _ x) in M; [| exact H]. rewrite !sum_put_unit in M.
  rewrite !mult_IZR, one_bit, shifted in M by lia. cbn [sum] in M.
  apply unscaled; [lia |]. pose proof (power_positive (places k) ltac:(lia)) as P.
  assert (Q : power bits = power (bits - places k) * power (places k)).
  { unfold power. rewrite <- mult_IZR, <- Z.pow_add_r by lia. do 2 f_equal. lia. }
  rewrite Q in *. set (y := nth (from k) _ 0) in *. set (z := nth (onto k) _ 0) in *.
  eapply Rle_trans; [| exact M]. apply Req_le.
  destruct (flipped k); field; lra.
Qed.

Lemma learn_sound : forall bits f what x, (0 <= bits)%Z -> holds_of f x ->
  sound (fun new => holds_of new x /\ at_scale new = at_scale f /\ of_net new = of_net f) (learn bits f what).
Proof.
  intros bits f what x B H. assert (Same : holds_of f x /\ at_scale f = at_scale f /\ of_net f = of_net f) by auto.
  destruct H as [S R K L] eqn:HH. clear HH. destruct what as [t u sign|t k]; unfold learn.
  - destruct (most_on f _ []) as [v|] eqn:M; [| exact Same].
    destruct (Z.eqb_spec (Z.abs sign) 1) as [O|]; [| exact Same].
    apply (most_on_sound _ _ _ x) in M; [| exact H]. rewrite sum_put_unit, mult_IZR, one_bit in M by exact B.
    cbn [sum] in M.
    assert (U : power (at_scale f) * (IZR sign * nth u (nth t (zs f x) []) 0) <= IZR (shrink bits v)).
    { apply unscaled; [exact B |]. lra. }
    pose proof (narrowed_sound (at_scale f) (of_net f) (ranges f) x t u sign (shrink bits v) K) as N.
    unfold target_value in N. fold (zs f x) in N.
    assert (N' : sound (fun new => known (at_scale f) (networks (of_net f)) new x) (narrowed t u sign (shrink bits v) (ranges f))).
    { apply N; intros G; [replace sign with 1%Z in U by lia | replace sign with (-1)%Z in U by lia]; lra. }
    destruct (narrowed t u sign (shrink bits v) (ranges f)) as [|st]; [exact N' |].
    split; [constructor; assumption | split; reflexivity].
  - cbv zeta. destruct (active_at (networks (of_net f)) t && _ && _ && _ && _)%bool eqn:C; [| exact Same].
    repeat (apply andb_true_iff in C; destruct C as [C ?]).
    apply Z.leb_le in H0, H1, H2. rename C into A1, H3 into A2.
    destruct (premise f bits t k 1) as [a|] eqn:E1; [| exact Same].
    destruct (premise f bits t k (-1)) as [b|] eqn:E2; [| exact Same].
    split; [| split; reflexivity]. constructor; try assumption. cbn [at_scale of_net equal].
    intros p. rewrite nth_add_link. destruct (Nat.eqb_spec p (pred t)) as [->|]; [| apply L].
    constructor; [| apply L].
    destruct t as [|t]; [discriminate |]. cbn [pred].
    apply (premise_sound _ _ _ _ _ x) in E1, E2; try (exact H || lia).
    pose proof (power_positive _ S) as P. pose proof (power_positive (places k) ltac:(lia)) as Q.
    pose proof (behind_at f x (Datatypes.S t) (from k) A1) as Y.
    pose proof (behind_at f x (Datatypes.S t + level k) (onto k) A2) as Z'.
    unfold linked. cbn [from level onto factor places flipped off].
    rewrite !nth_skip, Nat.add_0_r.
    change (nth t (behind (networks (of_net f)) x) []) with (nth (Datatypes.S t) (hs f x) []).
    change (nth (t + level k) (behind (networks (of_net f)) x) []) with (nth (Datatypes.S t + level k) (hs f x) []).
    change (nth (t + level k) (before (networks (of_net f)) x) []) with (nth (Datatypes.S t + level k) (zs f x) []).
    rewrite Y, Z'.
    set (y := nth (from k) (nth (Datatypes.S t) (zs f x) []) 0) in *.
    set (z := nth (onto k) (nth (Datatypes.S t + level k) (zs f x) []) 0) in *.
    set (c := IZR (factor k) / power (places k)) in *.
    assert (C : 0 <= c).
    { unfold c. apply Rmult_le_pos; [apply IZR_le; assumption |]. left. apply Rinv_0_lt_compat. exact Q. }
    clearbody y z c. clear Y Z' A1 A2.
    split; [lia |]. destruct (flipped k).
    + rewrite <- (relu_flipped z), <- (relu_scaled c (- z) C). split; [apply Rmax_l |].
      eapply Rle_trans; [apply Rmult_le_compat_l; [lra | apply relu_near] |].
      apply between; [lra | |]; lra.
    + rewrite Rminus_0_r, <- (relu_scaled c z C). split; [apply Rmax_l |].
      eapply Rle_trans; [apply Rmult_le_compat_l; [lra | apply relu_near] |].
      apply between; [lra | |]; lra.
Qed.

Lemma learn_all_sound : forall bits facts f x, (0 <= bits)%Z -> holds_of f x ->
  sound (fun new => holds_of new x /\ at_scale new = at_scale f /\ of_net new = of_net f) (learn_all bits f facts).
Proof.
  intros bits facts. induction facts as [|one facts IH]; intros f x B H; simpl; [auto |].
  pose proof (learn_sound bits f one x B H) as L. destruct (learn bits f one) as [|f']; [exact L |].
  destruct L as [H' [E1 E2]]. pose proof (IH f' x B H') as M. destruct (learn_all bits f' facts) as [|new]; [exact M |].
  destruct M as [? [E3 E4]]. split; [assumption |]. split; congruence.
Qed.

(** * g *)

Definition meant (f : side) (x : list R) (active : bool) (m : meaning) (y : R) : Prop :=
  match m with
  | Near t u d =>
      active = true /\ active_at (networks (of_net f)) t = true /\
      power (at_scale f) * Rabs (y - nth u (nth t (zs f x) []) 0) <= IZR d
  | Range l u => IZR l <= power (at_scale f) * y <= IZR u
  end.

Lemma half_way : forall s a c y z d, 0 <= s -> s * Rabs (y - z) <= d ->
  s * (IZR a * (Rmax 0 y - Rmax 0 z) - IZR c * (y - z)) <= IZR (Z.max (Z.abs c) (Z.abs (a - c))) * d.
Proof.
  intros s a c y z d S D.
  pose proof (max_left (Z.abs c) (Z.abs (a - c))) as M1. pose proof (max_right (Z.abs c) (Z.abs (a - c))) as M2.
  rewrite abs_IZR in M1, M2. rewrite minus_IZR in M2. set (m := IZR (Z.max _ _)) in *.
  assert (M : 0 <= m) by (eapply Rle_trans; [apply Rabs_pos | exact M1]).
  assert (X : IZR a * (Rmax 0 y - Rmax 0 z) - IZR c * (y - z) <= m * Rabs (y - z)).
  { clear D. unfold Rmax, Rabs in *.
    destruct (Rle_dec 0 y), (Rle_dec 0 z), (Rcase_abs (IZR c)), (Rcase_abs (IZR a - IZR c)), (Rcase_abs (y - z)); nra. }
  assert (s * (m * Rabs (y - z)) <= m * d) by nra. nra.
Qed.

Lemma replaced_sound : forall f x active ms v, holds_of f x -> Forall2 (meant f x active) ms v ->
  forall row az ah lost cs az' ah' lost', replaced active row ms az ah lost = (cs, az', ah', lost') ->
  power (at_scale f) * (dot row (activation active v) + sum az (zs f x) + sum ah (hs f x)) + IZR lost
  <= power (at_scale f) * (dot cs v + sum az' (zs f x) + sum ah' (hs f x)) + IZR lost'.
Proof.
  intros f x active ms v H F. pose proof (power_positive _ (scale_of _ _ H)) as P.
  induction F as [|m y ms v M F IH]; intros row az ah lost cs az' ah' lost' E.
  - rewrite activation_nil, !dot_nil. destruct row; cbn [replaced] in E; injection E as <- <- <- <-; lra.
  - rewrite activation_cons. destruct row as [|a row]; [destruct m; cbn [replaced] in E; injection E as <- <- <- <-; simpl; lra |].
    destruct m as [t u d|l u]; cbn [replaced] in E.
    + set (c := if (d =? 0)%Z then 0%Z else Z.shiftr a 1) in *.
      destruct (replaced active row ms _ _ _) as [[[cs' az''] ah''] total] eqn:E'. injection E as <- <- <- <-.
      apply IH in E'. rewrite !sum_put_unit, plus_IZR, mult_IZR, opp_IZR in E'. simpl.
      destruct M as [-> [A D]]. rewrite (behind_at f x t u A) in E'.
      pose proof (half_way (power (at_scale f)) a c y (nth u (nth t (zs f x) []) 0) (IZR d) ltac:(lra) D) as W.
      simpl in *. lra.
    + set (c := usual active a l u) in *.
      destruct (replaced active row ms _ _ _) as [[[cs' az''] ah''] total] eqn:E'. injection E as <- <- <- <-.
      apply IH in E'. rewrite plus_IZR in E'. simpl.
      pose proof (excess_bound active a c l u (power (at_scale f) * y) M) as X.
      rewrite <- (scaled_acts active (power (at_scale f)) y P) in X. lra.
Qed.

Lemma rounded_active : forall k row ms, rounded true k row ms = 0%Z.
Proof. destruct row; reflexivity. Qed.

Lemma rounded_sound : forall f x active k ms v, holds_of f x -> (0 <= k)%Z -> Forall2 (meant f x active) ms v ->
  forall row, power (at_scale f) * dot row (activation active v)
  <= power k * (power (at_scale f) * dot (map (shrink k) row) (activation active v) + IZR (rounded active k row ms)).
Proof.
  intros f x active k ms v H K F. pose proof (power_positive _ (scale_of _ _ H)) as P.
  pose proof (power_positive k K) as Q.
  induction F as [|m y ms v M F IH]; intros row.
  - rewrite activation_nil, !dot_nil. destruct active; [rewrite rounded_active | destruct row]; simpl; lra.
  - rewrite activation_cons. destruct row as [|a row]; [destruct active; simpl; lra |]. specialize (IH row).
    destruct active.
    + rewrite rounded_active in *. simpl. simpl in IH. pose proof (shrink_sound k a K) as A.
      assert (0 <= Rmax 0 y) by apply Rmax_l. set (h := Rmax 0 y) in *. clearbody h.
      assert (0 <= power (at_scale f) * h) by nra.
      assert (0 <= (power k * IZR (shrink k a) - IZR a) * (power (at_scale f) * h)) by (apply Rmult_le_pos; lra).
      nra.
    + destruct m as [t u d|l u]; [destruct M; discriminate |]. destruct M as [L _].
      pose proof (inexact_sound k a l (power (at_scale f) * y) K L) as X. simpl. simpl in IH. rewrite plus_IZR. lra.
Qed.

Fixpoint all_meant (f : side) (x : list R) (g : list packed) (ms : list (list meaning)) : Prop :=
  match g, ms with
  | [], _ => True
  | l :: rest, m :: ms' =>
      Forall2 (meant f x (behind_relu (plain l))) m (value (networks rest) x) /\ all_meant f x rest ms'
  | _, _ => False
  end.

Lemma across_sound : forall f x g, holds_of f x -> Forall readable g -> forall ms az ah lost row az' ah' lost',
  all_meant f x g ms ->
  across (at_scale f) (length (of_net f)) g ms az ah lost row = Some (az', ah', lost') ->
  power (at_scale f) * (dot row (value (networks g) x) + sum az (zs f x) + sum ah (hs f x)) + IZR lost
  <= power (at_scale f) * (sum az' (zs f x) + sum ah' (hs f x)) + IZR lost'.
Proof.
  intros f x g H R. pose proof (power_positive _ (scale_of _ _ H)) as P.
  induction R as [|l g [[w W] [KS LB]] R IH]; intros ms az ah lost row az' ah' lost' M E.
  - cbn [across] in E. injection E as <- <- <-. rewrite sum_put.
    replace (nth (length (of_net f)) (zs f x) []) with x by (symmetry; apply input_level). simpl. lra.
  - cbn [across] in E. destruct (nothing row) eqn:N.
    { injection E as <- <- <-. rewrite (nothing_dot _ _ N). lra. }
    destruct (back l row) as [arrived|] eqn:B; [| discriminate].
    destruct ms as [|m ms]; [discriminate |]. destruct M as [M Ms].
    set (k := shift (plain l)) in *. set (active := behind_relu (plain l)) in *.
    destruct (replaced active (map (shrink k) arrived) m az ah _) as [[[cs az''] ah''] lost''] eqn:D.
    apply (IH _ _ _ _ _ _ _ _ Ms) in E.
    apply (replaced_sound f x active m _ H M) in D.
    pose proof (rounded_sound f x active k m _ H KS M arrived) as Y.
    rewrite W in B. apply (back_sound _ _ _ _ (activation active (value (networks g) x))) in B.
    change (value (networks (l :: g)) x) with (affine (plain l) (activation active (value (networks g) x))).
    unfold affine. rewrite dot_affine by exact LB. fold k. rewrite <- B. rewrite !plus_IZR in D.
    set (h := activation active (value (networks g) x)) in *. pose proof (power_positive k KS) as Q.
    set (constant := zdot row (bias (plain l))) in *.
    assert (C : power (at_scale f) * IZR constant <= power k * IZR (shrink k (Z.shiftl constant (at_scale f)))).
    { eapply Rle_trans; [| apply shrink_sound; exact KS]. rewrite shifted by exact (scale_of _ _ H). lra. }
    set (q := IZR (shrink k (Z.shiftl constant (at_scale f)))) in *.
    assert (G : power (at_scale f) * ((dot arrived h + IZR constant) / power k)
                <= power (at_scale f) * dot (map (shrink k) arrived) h + IZR (rounded active k arrived m) + q).
    { apply (Rmult_le_reg_l (power k)); [exact Q |].
      replace (power k * (power (at_scale f) * ((dot arrived h + IZR constant) / power k)))
        with (power (at_scale f) * dot arrived h + power (at_scale f) * IZR constant) by (field; lra).
      lra. }
    lra.
Qed.

Definition aimed (f : side) (x : list R) (target : option (nat * nat)) : R :=
  match target with Some (t, k) => nth k (nth t (zs f x) []) 0 | None => 0 end.

Lemma gap_sound : forall f bits g ms u target sign x v, holds_of f x -> (0 <= bits)%Z -> Forall readable g ->
  all_meant f x g ms -> gap f bits g ms u target sign = Some v ->
  power (at_scale f) * (IZR sign * (nth u (value (networks g) x) 0 - aimed f x target)) <= IZR v.
Proof.
  intros f bits g ms u target sign x v H B R M E. unfold gap in E.
  destruct (across _ _ g ms _ [] 0 _) as [[[az ah] lost]|] eqn:A; [| discriminate].
  destruct (most_on f az ah) as [w|] eqn:W; [| discriminate]. injection E as <-.
  apply (across_sound f x g H R) in A; [| exact M]. apply (most_on_sound _ _ _ x) in W; [| exact H].
  apply unscaled; [exact B |]. rewrite plus_IZR. rewrite dot_unit, mult_IZR, one_bit in A by exact B.
  assert (T : sum match target with Some (t, k) => put_unit t k (- (sign * Z.shiftl 1 bits)) [] | None => [] end (zs f x)
              = - (IZR sign * power bits) * aimed f x target).
  { destruct target as [[t k]|]; unfold aimed; [| cbn [sum]; ring].
    rewrite sum_put_unit, opp_IZR, mult_IZR, one_bit by exact B. cbn [sum]. ring. }
  rewrite T in A. cbn [sum] in A. lra.
Qed.

Lemma mean_sound : forall f bits active g ms u target x m, holds_of f x -> (0 <= bits)%Z -> Forall readable g ->
  all_meant f x g ms -> mean f bits active g ms u target = Some m ->
  meant f x active m (nth u (value (networks g) x) 0).
Proof.
  intros f bits active g ms u target x m H B R M E. unfold mean in E.
  pose proof (power_positive _ (scale_of _ _ H)) as P.
  assert (Own : match gap f bits g ms u None 1, gap f bits g ms u None (-1) with
                | Some a, Some b => Some (Range (- b) a) | _, _ => None end = Some m ->
                meant f x active m (nth u (value (networks g) x) 0)).
  { destruct (gap f bits g ms u None 1) as [a|] eqn:E1; [| discriminate].
    destruct (gap f bits g ms u None (-1)) as [b|] eqn:E2; [| discriminate]. intros [= <-].
    apply (gap_sound _ _ _ _ _ _ _ x) in E1, E2; try assumption. simpl in *. rewrite opp_IZR. lra. }
  destruct target as [[t k]|]; [| exact (Own E)].
  destruct (active && active_at (networks (of_net f)) t)%bool eqn:C; [| exact (Own E)].
  destruct (gap f bits g ms u (Some (t, k)) 1) as [a|] eqn:E1; [| discriminate].
  destruct (gap f bits g ms u (Some (t, k)) (-1)) as [b|] eqn:E2; [| discriminate]. injection E as <-.
  apply (gap_sound _ _ _ _ _ _ _ x) in E1, E2; try assumption. apply andb_true_iff in C. destruct C as [C1 C2].
  split; [exact C1 |]. split; [exact C2 |]. unfold aimed in *. apply between; lra.
Qed.

Lemma each_unit_sound : forall f (P : meaning -> R -> Prop) v count u targets ms, (u + count = length v)%nat ->
  (forall k t m, f k t = Some m -> P m (nth k v 0)) -> each_unit f u count targets = Some ms ->
  Forall2 P ms (skipn u v).
Proof.
  intros f P v count. induction count as [|count IH]; intros u targets ms L H E; simpl in E.
  - injection E as <-. rewrite skipn_all2 by lia. constructor.
  - destruct (f u (hd None targets)) as [m|] eqn:F; [| discriminate].
    destruct (each_unit f (S u) count (tl targets)) as [rest|] eqn:G; [| discriminate]. injection E as <-.
    assert (X : skipn u v = nth u v 0 :: skipn (S u) v).
    { clear - L. revert v L. induction u as [|u IH]; intros [|y v] L; simpl in *; try lia; [reflexivity |].
      apply IH. lia. }
    rewrite X. constructor; [exact (H _ _ _ F) |]. apply (IH (S u) (tl targets)); [lia | exact H | exact G].
Qed.

Lemma meanings_sound : forall f bits box x g, holds_of f x -> (0 <= bits)%Z -> inside (at_scale f) box x ->
  Forall readable g -> forall maps ms, meanings f bits box g maps = Some ms -> all_meant f x g ms.
Proof.
  intros f bits box x g H B I R. induction R as [|l g RL R IH]; intros maps ms E; cbn [meanings] in E; [exact Logic.I |].
  destruct (meanings f bits box g (tl maps)) as [ms'|] eqn:M; [| discriminate]. apply IH in M.
  destruct g as [|first g].
  - injection E as <-. split; [| exact Logic.I]. simpl. clear IH. revert I. generalize x at 1 3.
    intros v J. induction J as [|range y b v Y J IHJ]; simpl; [exact (Forall2_nil _) |].
    constructor; [exact Y | exact IHJ].
  - destruct (each_unit _ _ _ _) as [own|] eqn:U; [| discriminate]. injection E as <-. split; [| exact M].
    change (value (networks (first :: g)) x) with (skipn 0 (value (networks (first :: g)) x)).
    refine (each_unit_sound _ _ _ _ _ _ _ _ _ U).
    + simpl. unfold affine. rewrite map_length, combine_length.
      inversion R as [|? ? [_ [_ LB]] ?]; subst. rewrite LB. lia.
    + intros k t m F. exact (mean_sound _ _ _ _ _ _ _ _ _ H B R M F).
Qed.

Lemma within_sound : forall f bits g ms x, holds_of f x -> (0 <= bits)%Z -> Forall readable g -> all_meant f x g ms ->
  forall epsilon k, within f bits g ms k epsilon = true -> forall j e, nth_error epsilon j = Some e ->
  power (at_scale f) * Rabs (nth (k + j) (nth 0 (zs f x) []) 0 - nth (k + j) (value (networks g) x) 0) <= IZR e.
Proof.
  intros f bits g ms x H B R M epsilon. induction epsilon as [|e epsilon IH]; intros k E j e' J; [destruct j; discriminate |].
  cbn [within] in E.
  destruct (gap f bits g ms k (Some (O, k)) 1) as [a|] eqn:E1; [| discriminate].
  destruct (gap f bits g ms k (Some (O, k)) (-1)) as [b|] eqn:E2; [| discriminate].
  apply andb_true_iff in E. destruct E as [E E3]. apply andb_true_iff in E. destruct E as [L1 L2].
  apply Z.leb_le, IZR_le in L1, L2. apply (gap_sound _ _ _ _ _ _ _ x) in E1, E2; try assumption.
  destruct j as [|j]; simpl in J.
  - injection J as <-. rewrite Nat.add_0_r. cbn [aimed] in *.
    pose proof (power_positive _ (scale_of _ _ H)).
    set (y := nth k (value (networks g) x) 0) in *. set (z := nth k (nth 0 (zs f x) []) 0) in *.
    unfold Rabs. destruct (Rcase_abs (z - y)); lra.
  - replace (k + S j)%nat with (S k + j)%nat by lia. exact (IH (S k) E3 j e' J).
Qed.

(** * Signs *)

Lemma show_sound : forall s b v, (0 <= s)%Z -> inside s b v -> forall row, show row b = true ->
  forall u, 0 <= IZR (nth u row 0%Z) * nth u v 0.
Proof.
  intros s b v S I. pose proof (power_positive s S) as P.
  induction I as [|[l h] y b v [L U] I IH]; intros [|a row] E u; simpl in E; try discriminate;
    try (destruct u; simpl; lra).
  apply andb_true_iff in E. destruct E as [E F]. simpl in L, U.
  destruct u as [|u]; simpl; [| exact (IH row F u)].
  destruct (Z.ltb_spec 0 a) as [A|A].
  - apply Z.leb_le, IZR_le in E. apply IZR_lt in A. nra.
  - destruct (Z.ltb_spec a 0) as [B|B]; [| replace a with 0%Z by lia; lra].
    apply Z.leb_le, IZR_le in E. apply IZR_lt in B. nra.
Qed.

Lemma show_all_sound : forall s net x, (0 <= s)%Z -> forall signs st, known s net st x -> show_all signs st = true ->
  signed signs net x.
Proof.
  intros s net x S. induction net as [|l net IH]; intros signs st K E t u T; destruct st as [|b st]; simpl in K; try contradiction;
    destruct signs as [|row signs]; try (destruct t, u; simpl; lra); simpl in E; apply andb_true_iff in E; destruct E as [E F].
  - destruct st; [| contradiction]. simpl in T. replace t with O by lia. simpl. exact (show_sound s b x S K row E u).
  - destruct K as [I K]. destruct t as [|t]; simpl.
    + exact (show_sound s b _ S I row E u).
    + simpl in T. exact (IH signs st K F t u ltac:(lia)).
Qed.

Theorem check_pair_sound : forall p g signs epsilon widths fine widths_of_g proofs,
  check_pair p g signs epsilon widths fine widths_of_g proofs = true ->
  forall c x, In c (cases p) -> in_case p c x -> near (scale p) epsilon (net p) g x /\ signed signs (net p) x.
Proof.
  intros p g signs epsilon widths fine widths_of_g proofs E c x C [I F]. unfold check_pair in E.
  apply andb_true_iff in E. destruct E as [E E4]. apply andb_true_iff in E. destruct E as [E E3].
  apply andb_true_iff in E. destruct E as [S E2]. apply Z.leb_le in S.
  pose proof (prepared_readable (net p) widths E2) as R. pose proof (prepared_readable (net p) fine E2) as R'.
  pose proof (prepared_readable g widths_of_g E3) as G.
  assert (N : exists q, check_near (scale p) (prepared widths (net p)) (prepared fine (net p)) (prepared widths_of_g g) signs epsilon c q = true).
  { revert C proofs E4. clear. induction (cases p) as [|c' cs IH]; intros C proofs E; [destruct C |].
    destruct proofs as [|q proofs]; [discriminate |]. simpl in E. apply andb_true_iff in E. destruct E as [A B].
    destruct C as [->|C]; [exists q; exact A | exact (IH C proofs B)]. }
  destruct N as [q N]. unfold check_near in N. apply andb_true_iff in N. destruct N as [B N]. apply Z.leb_le in B.
  rewrite <- (prepared_networks (net p) widths) in F.
  pose proof (run_sound (scale p) _ (common c) (steps q) _ x S R (initial_sound _ _ _ x S R I) F) as U.
  destruct (run (scale p) (prepared widths (net p)) (common c) (steps q) _) as [|st]; [destruct U |].
  simpl in U. rewrite prepared_networks in U.
  set (f := Side (scale p) (prepared fine (net p)) st [] (lines_at q)) in *.
  assert (H : holds_of f x).
  { constructor; simpl; try assumption; [rewrite prepared_networks; exact U | apply no_links]. }
  pose proof (learn_all_sound (bits q) (facts q) f x B H) as L.
  destruct (learn_all (bits q) f (facts q)) as [|new]; [destruct L |]. destruct L as [H' [E5 E6]].
  destruct (meanings new (bits q) (box c) (prepared widths_of_g g) (maps_of q)) as [ms|] eqn:M; [| discriminate].
  apply (meanings_sound _ _ _ x) in M; try assumption; [| rewrite E5; exact I].
  apply andb_true_iff in N. destruct N as [N0 N].
  split; [| rewrite <- (prepared_networks (net p) fine); change (prepared fine (net p)) with (of_net f); rewrite <- E6;
    exact (show_all_sound _ _ _ (scale_of _ _ H') _ _ (known_of _ _ H') N0)].
  intros k e J. pose proof (within_sound _ _ _ _ _ H' B G M epsilon 0 N k e J) as W.
  unfold zs in W. rewrite E5, E6 in W. unfold f in W. simpl in W. rewrite !prepared_networks in W. exact W.
Qed.

Print Assumptions check_pair_sound.
