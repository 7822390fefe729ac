(** Rows on all layers of a network at once, and units that show nearly what others do (D-2 in specs/rewrites.md). *)
Require Import ZArith List Bool Reals Lra Lia.
Require Import Network Packed Numbers.
Import ListNotations.
Open Scope Z_scope.

(** Rows, one on each layer; those that are missing are 0. *)
Definition nothing (row : list Z) : bool := forallb (Z.eqb 0) row.

Definition unit_row (u : nat) (a : Z) : list Z := repeat 0 u ++ [a].

Fixpoint add_at (u : nat) (a : Z) (row : list Z) : list Z :=
  match u, row with
  | O, [] => [a]
  | O, b :: rest => (a + b) :: rest
  | S u', [] => 0 :: add_at u' a []
  | S u', b :: rest => b :: add_at u' a rest
  end.

Fixpoint change_row (t : nat) (f : list Z -> list Z) (rows : list (list Z)) : list (list Z) :=
  match t with
  | O => f (hd [] rows) :: tl rows
  | S t' => hd [] rows :: change_row t' f (tl rows)
  end.

(** Add a row to the row on layer [t], or [a] at one of its units. *)
Definition put (t : nat) (row : list Z) := change_row t (plus row).
Definition put_unit (t u : nat) (a : Z) := change_row t (add_at u a).

(** The unit [from] of a layer is nearly factor / 2^places times unit [onto] of the layer [level] layers before it; or
    that times what [onto] has less than before its ReLU, if [flipped].  [off] is how far, times 2^scale. *)
Record link := Link { from : nat; level : nat; onto : nat; factor : Z; places : Z; flipped : bool; off : Z }.

(** Rows before activations and behind them, from a layer on, without the units of links; and what is lost. *)
Fixpoint relink (ls : list link) (az ah : list (list Z)) (lost : Z) : list (list Z) * list (list Z) * Z :=
  match ls with
  | [] => (az, ah, lost)
  | k :: rest =>
      let a := nth (from k) (hd [] ah) 0 in
      if a =? 0 then relink rest az ah lost else
      let c := shrink (places k) (a * factor k) in
      let ah' := put_unit (level k) (onto k) c (put_unit 0 (from k) (- a) ah) in
      relink rest (if flipped k then put_unit (level k) (onto k) (- c) az else az) ah' (lost + Z.abs a * off k)
  end.

Open Scope R_scope.

Fixpoint sum (rows : list (list Z)) (vs : list (list R)) : R :=
  match rows, vs with
  | r :: rows', v :: vs' => dot r v + sum rows' vs'
  | _, _ => 0
  end.

(** What the layers read, from the last one on: before the activation, and behind it. *)
Fixpoint before (net : network) (x : list R) : list (list R) :=
  match net with [] => [] | _ :: rest => value rest x :: before rest x end.

Fixpoint behind (net : network) (x : list R) : list (list R) :=
  match net with [] => [] | l :: rest => activation (behind_relu l) (value rest x) :: behind rest x end.

Lemma sum_cons : forall rows v vs, sum rows (v :: vs) = dot (hd [] rows) v + sum (tl rows) vs.
Proof. intros [|r rows] v vs; simpl; [destruct vs; ring | reflexivity]. Qed.

Lemma sum_nil : forall rows, sum rows [] = 0.
Proof. destruct rows; reflexivity. Qed.

Lemma nothing_dot : forall row v, nothing row = true -> dot row v = 0.
Proof.
  unfold nothing. induction row as [|a row IH]; intros [|y v]; cbn [forallb dot]; try reflexivity.
  rewrite andb_true_iff. intros [A B]. apply Z.eqb_eq in A. subst. rewrite IH by exact B. ring.
Qed.

Lemma nothing_sum : forall rows vs, forallb nothing rows = true -> sum rows vs = 0.
Proof.
  induction rows as [|r rows IH]; intros [|v vs] N; simpl in *; try reflexivity.
  apply andb_true_iff in N. destruct N as [A B]. rewrite (nothing_dot _ _ A), IH by exact B. ring.
Qed.

Lemma dot_unit : forall u a v, dot (unit_row u a) v = IZR a * nth u v 0.
Proof.
  unfold unit_row. induction u as [|u IH]; intros a [|y v]; simpl; try ring.
  rewrite IH. ring.
Qed.

Lemma dot_add_at : forall u a row v, dot (add_at u a row) v = dot row v + IZR a * nth u v 0.
Proof.
  induction u as [|u IH]; intros a [|b row] [|y v]; simpl; rewrite ?IH, ?plus_IZR; simpl; rewrite ?dot_nil; ring.
Qed.

Lemma sum_change : forall f e, (forall row v, dot (f row) v = dot row v + e v) -> e [] = 0 ->
  forall t rows vs, sum (change_row t f rows) vs = sum rows vs + e (nth t vs []).
Proof.
  intros f e F E. induction t as [|t IH]; intros rows [|v vs]; simpl change_row; rewrite ?sum_nil, ?sum_cons; simpl nth;
    rewrite ?E; try ring; cbn [hd tl].
  - rewrite F. ring.
  - rewrite IH. ring.
Qed.

Lemma sum_put : forall t row rows vs, sum (put t row rows) vs = sum rows vs + dot row (nth t vs []).
Proof.
  intros t row. apply (sum_change (plus row) (dot row)); [| apply dot_nil]. intros u v. rewrite dot_plus. ring.
Qed.

Lemma sum_put_unit : forall t u a rows vs, sum (put_unit t u a rows) vs = sum rows vs + IZR a * nth u (nth t vs []) 0.
Proof.
  intros t u a. apply (sum_change (add_at u a) (fun v => IZR a * nth u v 0)); [intros; apply dot_add_at |].
  destruct u; simpl; ring.
Qed.

(** What a link says, of values before activations and behind them. *)
Definition linked (s : Z) (zs hs : list (list R)) (k : link) : Prop :=
  let shown := nth (onto k) (nth (level k) hs []) 0 - (if flipped k then nth (onto k) (nth (level k) zs []) 0 else 0) in
  (0 <= places k)%Z /\ 0 <= shown /\
  power s * Rabs (nth (from k) (nth 0 hs []) 0 - IZR (factor k) / power (places k) * shown) <= IZR (off k).

Lemma near_bound : forall a y s e, s * Rabs y <= e -> 0 <= s -> s * (IZR a * y) <= IZR (Z.abs a) * e.
Proof.
  intros a y s e E S. rewrite abs_IZR. pose proof (Rle_abs (IZR a * y)) as H. rewrite Rabs_mult in H.
  pose proof (Rabs_pos (IZR a)). pose proof (Rabs_pos y). nra.
Qed.

Theorem relink_sound : forall s zs hs ls az ah lost az' ah' lost', (0 <= s)%Z -> Forall (linked s zs hs) ls ->
  relink ls az ah lost = (az', ah', lost') ->
  power s * (sum az zs + sum ah hs) + IZR lost <= power s * (sum az' zs + sum ah' hs) + IZR lost'.
Proof.
  intros s zs hs ls az ah lost az' ah' lost' S F. pose proof (power_positive s S) as P. revert az ah lost.
  induction F as [|k ls [K [W N]] F IH]; intros az ah lost E; cbn [relink] in E.
  - injection E as <- <- <-. lra.
  - set (a := nth (from k) (hd [] ah) 0%Z) in *.
    destruct (Z.eqb_spec a 0) as [|_]; [exact (IH _ _ _ E) |].
    set (c := shrink (places k) (a * factor k)) in *.
    set (shown := nth (onto k) (nth (level k) hs []) 0 - (if flipped k then nth (onto k) (nth (level k) zs []) 0 else 0)) in *.
    apply IH in E. eapply Rle_trans; [| exact E]. clear E IH.
    rewrite !sum_put_unit, plus_IZR, mult_IZR, opp_IZR.
    apply (near_bound a) in N; [| lra].
    pose proof (shrink_sound (places k) (a * factor k) K) as C. fold c in C. rewrite mult_IZR in C.
    pose proof (power_positive _ K) as Q.
    assert (D : IZR a * (IZR (factor k) / power (places k)) <= IZR c).
    { apply (Rmult_le_reg_l (power (places k))); [exact Q |].
      replace (power (places k) * (IZR a * (IZR (factor k) / power (places k)))) with (IZR a * IZR (factor k))
        by (field; lra). exact C. }
    assert (G : IZR a * (IZR (factor k) / power (places k)) * shown <= IZR c * shown) by (apply Rmult_le_compat_r; assumption).
    set (y := nth (from k) (nth 0 hs []) 0) in *. set (f := IZR (factor k) / power (places k)) in *.
    assert (Z' : sum (if flipped k then put_unit (level k) (onto k) (- c) az else az) zs
                 = sum az zs - IZR c * (if flipped k then nth (onto k) (nth (level k) zs []) 0 else 0)).
    { destruct (flipped k); [rewrite sum_put_unit, opp_IZR |]; ring. }
    rewrite Z'. unfold shown in *.
    set (h := nth (onto k) (nth (level k) hs []) 0) in *.
    set (z := if flipped k then nth (onto k) (nth (level k) zs []) 0 else 0) in *.
    nra.
Qed.
