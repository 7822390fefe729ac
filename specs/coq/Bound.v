(** Rows pulled back through a network (B-1 to B-3, B-6, B-9 of specs/bounds.md), in integers.

    A row on the values h >= 0 behind a ReLU may be rounded up; a row behind a ReLU may be replaced by any other
    before it, for what that costs at the ends of the unit's range and at 0. *)
Require Import ZArith List Bool Reals Lra Lia.
Require Import Network Numbers Packed Links.
Import ListNotations.
Open Scope Z_scope.

(** The most that a row can be on a box. *)
Fixpoint greatest (row : list Z) (b : bounds) : Z :=
  match row, b with
  | a :: row', (l, u) :: b' => Z.max (a * l) (a * u) + greatest row' b'
  | _, _ => 0
  end.

(** What a proof may say about a unit: nothing; or slopes, times 2^slope_bits and the usual ones where negative, and
    a multiplier of its range.  None of that need be right. *)
Inductive hint := Default | Slopes (alpha lam tau : Z).
Definition slope_bits : Z := 60.

Definition usual (active : bool) (a l u : Z) : Z :=
  if negb active || (0 <=? l) then a
  else if u <=? 0 then 0
  else if 0 <? a then a * u / (u - l)
  else if 0 <=? u + l then a else 0.

(** A coefficient before the activation for one behind it.  Any number would do. *)
Definition choose (active : bool) (a l u : Z) (h : hint) : Z :=
  match h with
  | Default => usual active a l u
  | Slopes alpha lam tau =>
      let slope := if 0 <? a then lam else alpha in
      (if negb active || (slope <? 0) then usual active a l u else Z.shiftr (a * slope) slope_bits) - tau
  end.

(** a times what is behind the activation, less c z. *)
Definition excess (active : bool) (a c z : Z) : Z := if active && (z <? 0) then - c * z else (a - c) * z.

(** The most that this is for z from l to u. *)
Definition cost (active : bool) (a c l u : Z) : Z :=
  let ends := Z.max (excess active a c l) (excess active a c u) in
  if active && (l <? 0) && (0 <? u) then Z.max 0 ends else ends.

(** A row behind the activation as one before it, and the most that is lost. *)
Fixpoint lines (active : bool) (row : list Z) (b : bounds) (hs : list hint) (lost : Z) : list Z * Z :=
  match row, b with
  | a :: row', (l, u) :: b' =>
      let c := choose active a l u (hd Default hs) in
      let '(cs, total) := lines active row' b' (tl hs) (lost + cost active a c l u) in
      (c :: cs, total)
  | _, _ => ([], lost)
  end.

(** What rounding up to multiples of 2^k costs. *)
Definition inexact (k a l : Z) : Z := if Z.shiftl (shrink k a) k =? a then 0 else Z.max 0 (- l).

Fixpoint rounding (active : bool) (k : Z) (row : list Z) (b : bounds) : Z :=
  if active then 0 else
  match row, b with
  | a :: row', (l, _) :: b' => inexact k a l + rounding active k row' b'
  | _, _ => 0
  end.

(** Ranges behind the activation. *)
Definition activated (active : bool) (b : bounds) : bounds :=
  if active then map (fun range => (Z.max 0 (fst range), Z.max 0 (snd range))) b else b.

(** The range of a unit, from those of what its layer reads. *)
Definition interval (scale : Z) (l : layer) (b : bounds) (unit : list Z * Z) : Z * Z :=
  let constant := Z.shiftl (snd unit) scale in
  (- shrink (shift l) (greatest (map Z.opp (fst unit)) b - constant),
   shrink (shift l) (greatest (fst unit) b + constant)).

Definition intervals (scale : Z) (l : layer) (b : bounds) : bounds :=
  map (interval scale l (activated (behind_relu l) b)) (combine (weights l) (bias l)).

(** What is known: bounds of the outputs, of the layers before them, and of the inputs. *)
Definition state := list bounds.

(** An upper bound, times 2^scale, of a row on the last layer plus rows on what comes before it: [az] before
    activations, [ah] behind them.  [links] are about the units that each layer reads. *)
Fixpoint through (scale : Z) (net : list packed) (st : state) (links : list (list link)) (az ah : list (list Z))
    (hints : list (list hint)) (row : list Z) : option Z :=
  match net, st with
  | [], [b] => Some (greatest row b)
  | l :: before, _ :: (b :: _) as st' =>
      if nothing row && forallb nothing az && forallb nothing ah then Some 0 else
      match back l row with
      | None => None
      | Some arrived =>
          let k := shift (plain l) in
          let active := behind_relu (plain l) in
          let constant := Z.shiftl (zdot row (bias (plain l))) scale in
          let rows := plus (map (shrink k) arrived) (hd [] ah) :: tl ah in
          let '(az', ah', off) := relink (hd [] links) az rows (rounding active k arrived b) in
          let '(cs, lost) := lines active (hd [] ah') b (hd [] hints) off in
          match through scale before (tl st) (tl links) (tl az') (tl ah') (tl hints) (plus cs (hd [] az')) with
          | None => None
          | Some v => Some (v + lost + shrink k constant)
          end
      end
  | _, _ => None
  end.

(** The same for rows on all layers, the outputs the first of them, which no activation follows. *)
Definition pulled (scale : Z) (net : list packed) (st : state) (links : list (list link)) (hints : list (list hint))
    (az ah : list (list Z)) : option Z :=
  through scale net st links (tl az) (tl ah) hints (plus (hd [] az) (hd [] ah)).

Open Scope R_scope.

Lemma product_bound : forall a l u y, IZR l <= y <= IZR u -> IZR a * y <= IZR (Z.max (a * l) (a * u)).
Proof.
  intros a l u y [L U]. destruct (Z_le_dec 0 a) as [A|A].
  - eapply Rle_trans; [| apply max_right]. rewrite mult_IZR. apply Rmult_le_compat_l; [apply IZR_le; exact A | exact U].
  - eapply Rle_trans; [| apply max_left]. rewrite mult_IZR.
    assert (IZR a <= 0) by (apply IZR_le; lia). nra.
Qed.

Lemma greatest_sound : forall s row b x, inside s b x -> power s * dot row x <= IZR (greatest row b).
Proof.
  intros s row b x I. revert row. induction I as [|[l u] y b x P I IH]; intros [|a row]; simpl; try lra.
  rewrite plus_IZR. specialize (IH row). pose proof (product_bound a l u (power s * y) P). lra.
Qed.

(** * Activations *)

Definition acts (active : bool) (y : R) : R := if active then Rmax 0 y else y.

Lemma scaled_relu : forall k y, 0 < k -> k * relu y = Rmax 0 (k * y).
Proof. intros. unfold relu, Rmax. destruct (Rle_dec 0 y), (Rle_dec 0 (k * y)); nra. Qed.

Lemma activation_cons : forall active y v, activation active (y :: v) = acts active y :: activation active v.
Proof. intros [|] y v; reflexivity. Qed.

Lemma activation_nil : forall active, activation active [] = [].
Proof. intros [|]; reflexivity. Qed.

Lemma scaled_acts : forall active k y, 0 < k -> k * acts active y = acts active (k * y).
Proof. intros [|] k y K; simpl; [apply scaled_relu; exact K | reflexivity]. Qed.

Lemma activated_inside : forall active s b v, (0 <= s)%Z ->
  inside s b v -> inside s (activated active b) (activation active v).
Proof.
  intros [|] s b v S I; [| exact I]. pose proof (power_positive s S) as P. simpl.
  induction I as [|[l u] y b v [L U] I IH]; simpl; constructor; [| exact IH].
  simpl in *. rewrite scaled_relu by exact P.
  split; unfold Rmax; destruct (Rle_dec 0 (power s * y)).
  - destruct (Z_le_dec 0 l); [rewrite Z.max_r by lia | rewrite Z.max_l by lia]; lra.
  - destruct (Z_le_dec 0 l) as [Q|]; [| rewrite Z.max_l by lia; lra]. apply IZR_le in Q. lra.
  - eapply Rle_trans; [exact U | apply max_right].
  - apply IZR_le. lia.
Qed.

Lemma excess_bound : forall active a c l u y, IZR l <= y <= IZR u ->
  IZR a * acts active y - IZR c * y <= IZR (cost active a c l u).
Proof.
  intros [|] a c l u y [L U]; unfold cost, excess, acts; simpl.
  - (* a ReLU: the ends, and 0 where it lies between *)
    set (ends := Z.max (if (l <? 0)%Z then - c * l else (a - c) * l) (if (u <? 0)%Z then - c * u else (a - c) * u)).
    assert (E1 : IZR (if (l <? 0)%Z then - c * l else (a - c) * l) <= IZR ends) by apply max_left.
    assert (E2 : IZR (if (u <? 0)%Z then - c * u else (a - c) * u) <= IZR ends) by apply max_right.
    set (most := if ((l <? 0) && (0 <? u))%Z%bool then Z.max 0 ends else ends).
    assert (M : IZR ends <= IZR most).
    { unfold most. destruct ((l <? 0) && (0 <? u))%Z%bool; [apply max_right | apply Rle_refl]. }
    assert (N : (l < 0 < u)%Z -> 0 <= IZR most).
    { intros [A B]. unfold most. apply Z.ltb_lt in A, B. rewrite A, B. simpl. apply IZR_le. lia. }
    clearbody most ends.
    unfold Rmax. destruct (Rle_dec 0 y) as [Y|Y].
    + (* y >= 0: linear from max(l, 0) to u *)
      destruct (Z.ltb_spec u 0) as [A|A]; [apply IZR_lt in A; lra |].
      rewrite mult_IZR, minus_IZR in E2.
      destruct (Rle_dec 0 (IZR a - IZR c)); [nra |].
      destruct (Z.ltb_spec l 0) as [B|B].
      * destruct (Z_lt_dec 0 u) as [V|V]; [assert (0 <= IZR most) by (apply N; lia); nra |].
        assert (u = 0)%Z by lia. subst. assert (y = 0) by lra. subst. nra.
      * rewrite mult_IZR, minus_IZR in E1. nra.
    + destruct (Z.ltb_spec l 0) as [B|B]; [| apply IZR_le in B; lra].
      rewrite mult_IZR, opp_IZR in E1.
      destruct (Rle_dec 0 (IZR c)); [nra |].
      destruct (Z.ltb_spec u 0) as [A|A].
      * rewrite mult_IZR, opp_IZR in E2. nra.
      * rewrite mult_IZR, minus_IZR in E2.
        destruct (Z_lt_dec 0 u) as [V|V]; [assert (0 <= IZR most) by (apply N; lia); nra |].
        assert (u = 0)%Z by lia. subst. nra.
  - replace (IZR a * y - IZR c * y) with (IZR (a - c) * y) by (rewrite minus_IZR; ring).
    apply product_bound. split; assumption.
Qed.

Lemma lines_sound : forall active s b v, (0 <= s)%Z -> inside s b v ->
  forall row hs lost cs total, lines active row b hs lost = (cs, total) ->
  power s * dot row (activation active v) + IZR lost <= power s * dot cs v + IZR total.
Proof.
  intros active s b v S I. pose proof (power_positive s S) as P.
  induction I as [|[l u] y b v Y I IH]; intros row hs lost cs total E.
  - rewrite activation_nil, !dot_nil. destruct row; simpl in E; injection E as <- <-; lra.
  - rewrite activation_cons. destruct row as [|a row]; simpl in E; [injection E as <- <-; simpl; lra |].
    set (c := choose active a l u (hd Default hs)) in *.
    destruct (lines active row b (tl hs) (lost + cost active a c l u)) as [cs' total'] eqn:E'.
    injection E as <- <-. apply IH in E'. simpl. rewrite plus_IZR in E'.
    pose proof (excess_bound active a c l u (power s * y) Y) as X.
    rewrite <- (scaled_acts active (power s) y P) in X. lra.
Qed.

Lemma rounding_active : forall k m b, rounding true k m b = 0%Z.
Proof. destruct m; reflexivity. Qed.

Lemma inexact_sound : forall k a l y, (0 <= k)%Z -> IZR l <= y ->
  IZR a * y <= power k * (IZR (shrink k a) * y + IZR (inexact k a l)).
Proof.
  intros k a l y K L. destruct (shrink_between k a K) as [A B]. pose proof (power_positive k K) as Q.
  apply IZR_le in A. apply IZR_lt in B. rewrite mult_IZR in A, B. rewrite plus_IZR in B.
  change (IZR (2 ^ k)) with (power k) in A, B. unfold inexact.
  destruct (Z.eqb_spec (Z.shiftl (shrink k a) k) a) as [E|_].
  - rewrite <- E at 1. rewrite shifted by exact K. nra.
  - pose proof (max_right 0 (- l)) as M. pose proof (max_left 0 (- l)) as N. rewrite opp_IZR in M.
    set (d := power k * IZR (shrink k a) - IZR a) in *. assert (D : 0 <= d < power k) by (unfold d; lra).
    assert (d * y >= - power k * IZR (Z.max 0 (- l))) by nra. unfold d in *. nra.
Qed.

Lemma rounding_sound : forall active s k b v, (0 <= s)%Z -> (0 <= k)%Z -> inside s b v -> forall m,
  power s * dot m (activation active v)
  <= power k * (power s * dot (map (shrink k) m) (activation active v) + IZR (rounding active k m b)).
Proof.
  intros active s k b v S K I. pose proof (power_positive s S) as P. pose proof (power_positive k K) as Q.
  induction I as [|[l u] y b v Y I IH]; intros m.
  - rewrite activation_nil, !dot_nil. destruct active; [rewrite rounding_active | destruct m]; simpl; lra.
  - rewrite activation_cons. destruct m as [|a m]; [destruct active; simpl; lra |].
    specialize (IH m). destruct Y as [L U]. simpl in L, U. destruct active.
    + rewrite rounding_active in *. simpl. simpl in IH. destruct (shrink_between k a K) as [A _].
      apply IZR_le in A. rewrite mult_IZR in A. change (IZR (2 ^ k)) with (power k) in A.
      assert (0 <= Rmax 0 y) by apply Rmax_l. set (h := Rmax 0 y) in *. clearbody h.
      assert (0 <= power s * h) by nra.
      assert (0 <= (power k * IZR (shrink k a) - IZR a) * (power s * h)) by (apply Rmult_le_pos; lra).
      nra.
    + pose proof (inexact_sound k a l (power s * y) K L) as X. simpl. simpl in IH. rewrite plus_IZR. lra.
Qed.

(** * Pulling back *)

Definition networks (net : list packed) : network := map plain net.

Definition readable (l : packed) : Prop :=
  (exists w, l = prepare w (plain l)) /\ (0 <= shift (plain l))%Z /\
  length (weights (plain l)) = length (bias (plain l)).

(** Values of all layers, and inputs, are within their bounds. *)
Fixpoint known (s : Z) (net : network) (st : state) (x : list R) : Prop :=
  match net, st with
  | [], [b] => inside s b x
  | l :: before, b :: st' => inside s b (value net x) /\ known s before st' x
  | _, _ => False
  end.

Lemma known_head : forall s net st x, known s net st x ->
  exists b rest, st = b :: rest /\ inside s b (value net x).
Proof.
  intros s [|l net] [|b st] x K; simpl in K; try contradiction.
  - destruct st; [| contradiction]. exists b, []. auto.
  - exists b, st. split; [reflexivity | apply K].
Qed.

(** All links hold. *)
Definition all_linked (s : Z) (net : network) (links : list (list link)) (x : list R) : Prop :=
  forall t, Forall (linked s (skipn t (before net x)) (skipn t (behind net x))) (nth t links []).

Lemma linked_tail : forall s l net links x, all_linked s (l :: net) links x -> all_linked s net (tl links) x.
Proof. intros s l net [|k links] x A t; [destruct t; constructor | exact (A (S t))]. Qed.

Lemma linked_head : forall s net links x, all_linked s net links x ->
  Forall (linked s (before net x) (behind net x)) (hd [] links).
Proof. intros s net [|k links] x A; [constructor | exact (A O)]. Qed.

Theorem through_sound : forall s net st links az ah hints row x v, (0 <= s)%Z ->
  Forall readable net -> known s (networks net) st x -> all_linked s (networks net) links x ->
  through s net st links az ah hints row = Some v ->
  power s * (dot row (value (networks net) x) + sum az (before (networks net) x) + sum ah (behind (networks net) x))
  <= IZR v.
Proof.
  intros s net st links az ah hints row x v S. revert st links az ah hints row v.
  pose proof (power_positive s S) as P.
  induction net as [|l net IH]; intros st links az ah hints row v R K A E.
  - destruct st as [|b [|]]; simpl in E; try discriminate. injection E as <-. simpl in *. rewrite !sum_nil.
    pose proof (greatest_sound s row b x K). lra.
  - inversion R as [|? ? [[w W] [KS LB]] R']; subst.
    destruct st as [|b0 st]; [destruct K |]. destruct K as [_ K].
    destruct (known_head _ _ _ _ K) as [b [rest [-> I]]].
    cbn [through] in E.
    destruct (nothing row && forallb nothing az && forallb nothing ah)%bool eqn:N.
    { apply andb_true_iff in N. destruct N as [N C]. apply andb_true_iff in N. destruct N as [N B].
      injection E as <-. rewrite (nothing_dot _ _ N), !nothing_sum by assumption. lra. }
    destruct (back l row) as [arrived|] eqn:B; [| discriminate].
    set (k := shift (plain l)) in *. set (active := behind_relu (plain l)) in *.
    set (rows := plus (map (shrink k) arrived) (hd [] ah) :: tl ah) in *.
    destruct (relink (hd [] links) az rows (rounding active k arrived b)) as [[az' ah'] off] eqn:D.
    destruct (lines active (hd [] ah') b (hd [] hints) off) as [cs lost] eqn:L.
    cbn [tl] in E.
    destruct (through s net (b :: rest) (tl links) (tl az') (tl ah') (tl hints) (plus cs (hd [] az'))) as [t|] eqn:T;
      [| discriminate].
    injection E as <-.
    apply IH in T; [| exact R' | exact K | exact (linked_tail _ _ _ _ _ A)].
    rewrite W in B. apply (back_sound _ _ _ _ (activation active (value (networks net) x))) in B.
    pose proof (lines_sound active s b _ S I _ _ _ _ _ L) as X.
    pose proof (rounding_sound active s k b _ S KS I arrived) as Y.
    pose proof (relink_sound s _ _ _ _ _ _ _ _ _ S (linked_head _ _ _ _ A) D) as V.
    simpl networks in V |- *. cbn [before behind] in V |- *. fold (networks net) in V |- *. fold active in V |- *.
    cbn [value]. fold active.
    unfold affine. rewrite dot_affine by exact LB. fold k. rewrite <- B.
    rewrite dot_plus in T. rewrite !plus_IZR. rewrite !sum_cons in V. cbn [hd tl] in V.
    subst rows. cbn [hd tl] in V. rewrite dot_plus in V. rewrite !sum_cons.
    set (h := activation active (value (networks net) x)) in *.
    pose proof (power_positive k KS) as Q.
    set (constant := zdot row (bias (plain l))) in *.
    assert (C : power s * IZR constant <= power k * IZR (shrink k (Z.shiftl constant s))).
    { eapply Rle_trans; [| apply shrink_sound; exact KS]. rewrite shifted by exact S. lra. }
    set (q := IZR (shrink k (Z.shiftl constant s))) in *.
    assert (G : power s * ((dot arrived h + IZR constant) / power k)
                <= power s * dot (map (shrink k) arrived) h + IZR (rounding active k arrived b) + q).
    { apply (Rmult_le_reg_l (power k)); [exact Q |].
      replace (power k * (power s * ((dot arrived h + IZR constant) / power k)))
        with (power s * dot arrived h + power s * IZR constant) by (field; lra).
      lra. }
    lra.
Qed.

(** The outputs, and what the layers read. *)
Definition levels (net : network) (x : list R) : list (list R) := value net x :: before net x.
Definition shown (net : network) (x : list R) : list (list R) := value net x :: behind net x.

Theorem pulled_sound : forall s net st links hints az ah x v, (0 <= s)%Z -> Forall readable net ->
  known s (networks net) st x -> all_linked s (networks net) links x -> pulled s net st links hints az ah = Some v ->
  power s * (sum az (levels (networks net) x) + sum ah (shown (networks net) x)) <= IZR v.
Proof.
  intros s net st links hints az ah x v S R K A E. unfold pulled in E.
  apply (through_sound _ _ _ _ _ _ _ _ x) in E; [| assumption ..].
  unfold levels, shown. rewrite !sum_cons. rewrite dot_plus in E. lra.
Qed.

(** * Intervals *)

Lemma dot_opposite : forall w h, dot (map Z.opp w) h = - dot w h.
Proof. induction w as [|a w IH]; intros [|y h]; simpl; try lra. rewrite IH, opp_IZR. ring. Qed.

Theorem intervals_sound : forall s l b v, (0 <= s)%Z -> (0 <= shift l)%Z -> inside s b v ->
  inside s (intervals s l b) (affine l (activation (behind_relu l) v)).
Proof.
  intros s l b v S K I. unfold intervals, affine.
  apply (activated_inside (behind_relu l)) in I; [| exact S].
  set (h := activation (behind_relu l) v) in *. set (b' := activated (behind_relu l) b) in *.
  pose proof (power_positive _ K) as Q. pose proof (power_positive _ S) as P.
  induction (combine (weights l) (bias l)) as [|[w c] units IH]; simpl; constructor; [| exact IH].
  unfold interval; simpl. rewrite opp_IZR.
  pose proof (greatest_sound s w b' h I) as G. pose proof (greatest_sound s (map Z.opp w) b' h I) as H.
  rewrite dot_opposite in H.
  assert (E : forall t, power (shift l) * (power s * (t / power (shift l))) = power s * t) by (intros; field; lra).
  split.
  - apply Ropp_le_cancel. rewrite Ropp_involutive. apply shrink_bound; [exact K |].
    rewrite <- Ropp_mult_distr_r, E, minus_IZR, shifted by exact S. lra.
  - apply shrink_bound; [exact K |]. rewrite E, plus_IZR, shifted by exact S. lra.
Qed.
