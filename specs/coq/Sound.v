(** No input satisfies a property whose proof is accepted. *)
Require Import ZArith List Bool Reals Lra Lia.
Require Import Network Numbers Packed Links Bound Check.
Import ListNotations.
Open Scope R_scope.

(** What a step may say: it leaves nothing only where there is nothing. *)
Definition sound {A} (P : A -> Prop) (o : outcome A) : Prop :=
  match o with Empty => False | Known a => P a end.

(** * Rows *)

Lemma weighted_sound : forall s net x cs mu, (0 <= s)%Z -> Forall (holds s net x) cs ->
  - IZR (allowance mu cs)
  <= power s * (dot (weighted mu (map on_outputs cs)) (value net x) + dot (weighted mu (map on_inputs cs)) x).
Proof.
  intros s net x cs mu S H. revert mu. induction H as [|c cs C H IH]; intros [|m mu]; simpl; try lra.
  specialize (IH mu). destruct (Z.leb_spec m 0) as [M|M]; [exact IH |].
  rewrite !dot_plus, !dot_scale, plus_IZR, mult_IZR, opp_IZR.
  unfold holds in C. apply IZR_lt in M. nra.
Qed.

Definition target_value (net : list packed) (x : list R) (t u : nat) : R :=
  nth u (nth t (levels (networks net) x) []) 0.

Lemma input_level : forall net x, nth (length net) (levels (networks net) x) [] = x.
Proof. induction net as [|l net IH]; intros x; [reflexivity | exact (IH x)]. Qed.

Lemma no_links : forall s net x, all_linked s net [] x.
Proof. intros s net x [|t]; constructor. Qed.

Lemma row_bound_sound : forall s net cs st r x v, (0 <= s)%Z -> Forall readable net ->
  known s (networks net) st x -> Forall (holds s (networks net) x) cs -> row_bound s net cs st r = Some v ->
  power s * (IZR (sign r) * power row_bits * target_value net x (target r) (unit r)) <= IZR v.
Proof.
  intros s net cs st r x v S R K H. unfold row_bound.
  set (own := unit_row (unit r) (Z.shiftl (sign r) row_bits)).
  destruct (pulled s net st [] (hints r) _ []) as [t|] eqn:E; [| discriminate]. intros [= <-].
  apply (pulled_sound _ _ _ _ _ _ _ x) in E; try assumption; [| apply no_links].
  rewrite !sum_put, input_level in E. unfold levels at 1 in E. rewrite sum_cons in E. cbn [hd tl sum] in E.
  pose proof (weighted_sound s _ x cs (mu r) S H) as W.
  rewrite plus_IZR. unfold target_value. unfold own in E.
  rewrite dot_unit, shifted in E by (unfold row_bits; lia). lra.
Qed.

(** * Ranges *)

Lemma narrow_sound : forall s sign bound l u y, IZR l <= power s * y <= IZR u ->
  ((0 < sign)%Z -> power s * y <= IZR bound) -> ((sign < 0)%Z -> - (power s * y) <= IZR bound) ->
  match narrow sign bound (l, u) with
  | None => False
  | Some range => IZR (fst range) <= power s * y <= IZR (snd range)
  end.
Proof.
  intros s sign bound l u y [L U] A B. unfold narrow.
  set (l' := if (sign <? 0)%Z then Z.max l (- bound) else l).
  set (u' := if (0 <? sign)%Z then Z.min u bound else u).
  assert (L' : IZR l' <= power s * y).
  { unfold l'. destruct (Z.ltb_spec sign 0); [| exact L].
    destruct (Z.max_spec l (- bound)) as [[_ ->]|[_ ->]]; [| exact L]. rewrite opp_IZR. specialize (B H). lra. }
  assert (U' : power s * y <= IZR u').
  { unfold u'. destruct (Z.ltb_spec 0 sign); [| exact U].
    destruct (Z.min_spec u bound) as [[_ ->]|[_ ->]]; [exact U | auto]. }
  destruct (Z.ltb_spec u' l') as [C|C]; [apply IZR_lt in C; lra |]. simpl. auto.
Qed.

Lemma change_inside : forall s f b v u, inside s b v ->
  (forall range, nth_error b u = Some range -> IZR (fst range) <= power s * nth u v 0 <= IZR (snd range) ->
     sound (fun new => IZR (fst new) <= power s * nth u v 0 <= IZR (snd new)) (f range)) ->
  sound (fun new => inside s new v) (change u f b).
Proof.
  intros s f b v u I. revert u. induction I as [|range y b v Y I IH]; intros u F.
  - destruct u; exact (Forall2_nil _).
  - destruct u as [|u]; cbn [change nth nth_error] in *.
    + specialize (F range eq_refl Y). destruct (f range); [exact F |].
      constructor; assumption.
    + specialize (IH u F). destruct (change u f b); [exact IH |]. constructor; assumption.
Qed.

Lemma narrowed_sound : forall s net st x t u sign bound, known s (networks net) st x ->
  ((0 < sign)%Z -> power s * target_value net x t u <= IZR bound) ->
  ((sign < 0)%Z -> - (power s * target_value net x t u) <= IZR bound) ->
  sound (fun new => known s (networks net) new x) (narrowed t u sign bound st).
Proof.
  intros s net st x t u sign bound K A B. unfold narrowed, target_value in *.
  set (f := change u _). revert st t K A B.
  assert (F : forall b v, inside s b v ->
    ((0 < sign)%Z -> power s * nth u v 0 <= IZR bound) -> ((sign < 0)%Z -> - (power s * nth u v 0) <= IZR bound) ->
    sound (fun new => inside s new v) (f b)).
  { intros b v I A B. apply change_inside; [exact I |]. intros [l h] _ Y.
    pose proof (narrow_sound s sign bound l h _ Y A B) as N. destruct (narrow sign bound (l, h)); exact N. }
  clearbody f. induction net as [|l net IH]; intros [|b st] t K A B; simpl in K; try contradiction.
  - destruct st; [| contradiction]. destruct t as [|t]; simpl.
    + specialize (F b x K A B). destruct (f b); exact F.
    + destruct t; exact K.
  - destruct K as [I K]. destruct t as [|t]; simpl.
    + specialize (F b _ I A B). destruct (f b); [exact F |]. split; assumption.
    + specialize (IH st t K A B). destruct (change t f st); [exact IH |]. split; assumption.
Qed.

Lemma use_row_sound : forall s net cs st r x, (0 <= s)%Z -> Forall readable net ->
  known s (networks net) st x -> Forall (holds s (networks net) x) cs ->
  sound (fun new => known s (networks net) new x) (use_row s net cs st r).
Proof.
  intros s net cs st r x S R K H. unfold use_row.
  destruct (row_bound s net cs st r) as [v|] eqn:E; [| exact K].
  apply (row_bound_sound _ _ _ _ _ x) in E; [| assumption ..].
  assert (P : (0 <= row_bits)%Z) by (unfold row_bits; lia).
  destruct (Z.eqb_spec (sign r) 0) as [Z|Z].
  - rewrite Z in E. destruct (Z.ltb_spec v 0) as [V|]; [apply IZR_lt in V; simpl; lra | exact K].
  - destruct (Z.eqb_spec (Z.abs (sign r)) 1) as [O|]; [| exact K].
    apply narrowed_sound; [exact K | |]; intros G; apply shrink_bound; try exact P.
    + replace (sign r) with 1%Z in E by lia. lra.
    + replace (sign r) with (-1)%Z in E by lia. lra.
Qed.

Lemma use_rows_sound : forall s net cs rs st x, (0 <= s)%Z -> Forall readable net ->
  known s (networks net) st x -> Forall (holds s (networks net) x) cs ->
  sound (fun new => known s (networks net) new x) (use_rows s net cs rs st).
Proof.
  intros s net cs rs st x S R K H. revert st K. induction rs as [|r rs IH]; intros st K; simpl; [exact K |].
  pose proof (use_row_sound s net cs st r x S R K H) as U. destruct (use_row s net cs st r); [exact U | auto].
Qed.

(** * A pass *)

Lemma meet_sound : forall s a b v, inside s a v -> inside s b v -> sound (fun new => inside s new v) (meet a b).
Proof.
  intros s a b v I. revert b. induction I as [|[l u] y a v [L U] I IH]; intros b J;
    inversion J as [|[l' u'] y' b' v' [L' U'] J']; subst; simpl.
  - exact (Forall2_nil _).
  - simpl in *.
    assert (A : IZR (Z.max l l') <= power s * y) by (destruct (Z.max_spec l l') as [[_ ->]|[_ ->]]; assumption).
    assert (B : power s * y <= IZR (Z.min u u')) by (destruct (Z.min_spec u u') as [[_ ->]|[_ ->]]; assumption).
    destruct (Z.ltb_spec (Z.min u u') (Z.max l l')) as [C|C]; [apply IZR_lt in C; simpl; lra |].
    specialize (IH _ J'). destruct (meet a b'); [exact IH |]. constructor; [split; assumption | exact IH].
Qed.

Lemma meet_intervals_sound : forall s net t st x, (0 <= s)%Z -> Forall readable net ->
  known s (networks net) st x ->
  sound (fun new => known s (networks net) new x) (meet_intervals s net t st).
Proof.
  intros s net t st x S R. revert t st. induction R as [|l net [_ [KS _]] R IH]; intros t st K.
  - destruct t; exact K.
  - destruct st as [|own st]; [destruct K |]. simpl in K. destruct K as [I K].
    destruct (known_head _ _ _ _ K) as [b [rest [-> J]]]. destruct t as [|t]; simpl.
    + pose proof (intervals_sound s (plain l) b _ S KS J) as N.
      pose proof (meet_sound s _ _ _ I N) as M.
      destruct (meet own (intervals s (plain l) b)); [exact M |]. split; assumption.
    + specialize (IH t _ K). destruct (meet_intervals s net t (b :: rest)); [exact IH |]. split; assumption.
Qed.

Lemma pass_sound : forall s net layers st x, (0 <= s)%Z -> Forall readable net -> known s (networks net) st x ->
  sound (fun new => known s (networks net) new x) (pass s net layers st).
Proof.
  intros s net layers st x S R K. revert st K. induction layers as [|t layers IH]; intros st K; simpl; [exact K |].
  assert (L : sound (fun new => known s (networks net) new x) (pass_layer s net t st)).
  { unfold pass_layer. pose proof (meet_intervals_sound s net t st x S R K) as M.
    destruct (meet_intervals s net t st) as [|st']; [exact M |].
    destruct (Datatypes.S t =? length net)%nat; [exact M |].
    apply use_rows_sound; [exact S | exact R | exact M | constructor]. }
  destruct (pass_layer s net t st); [exact L | auto].
Qed.

(** * Splits *)

Lemma wider_inside : forall s a b v, length a = length b -> inside s a v \/ inside s b v ->
  inside s (zip wider a b) v.
Proof.
  intros s a. induction a as [|[l u] a IH]; intros [|[l' u'] b] v E I; simpl in *; try discriminate.
  - destruct I; assumption.
  - injection E as E.
    assert (W : IZR (Z.min l l') <= IZR l /\ IZR (Z.min l l') <= IZR l' /\ IZR u <= IZR (Z.max u u') /\
                IZR u' <= IZR (Z.max u u')) by (repeat split; apply IZR_le; lia).
    destruct I as [I|I]; inversion I; subst; (constructor; [simpl in *; lra | apply IH; auto]).
Qed.

Lemma zip_known : forall s net a b x, same_shape a b = true -> known s net a x \/ known s net b x ->
  known s net (zip (zip wider) a b) x.
Proof.
  intros s net. induction net as [|l net IH]; intros a b x E K.
  - destruct a as [|a [|]], b as [|b [|]]; simpl in *; try tauto; try discriminate.
    unfold same_shape in E. simpl in E. rewrite andb_true_r in E. apply Nat.eqb_eq in E.
    apply wider_inside; assumption.
  - destruct a as [|a0 a], b as [|b0 b]; simpl in *; try tauto; try discriminate.
    unfold same_shape in E. cbn [length combine forallb fst snd] in E.
    apply andb_true_iff in E. destruct E as [E1 E2]. apply andb_true_iff in E2. destruct E2 as [E2 E3].
    apply Nat.eqb_eq in E2. split.
    + apply wider_inside; [exact E2 | tauto].
    + apply IH; [| tauto]. unfold same_shape. apply andb_true_iff. split; [exact E1 | exact E3].
Qed.

Lemma hull_sound : forall s net st a b x, known s net st x ->
  sound (fun new => known s net new x) a \/ sound (fun new => known s net new x) b ->
  sound (fun new => known s net new x) (hull st a b).
Proof.
  intros s net st [|a] [|b] x K; simpl; try tauto.
  destruct (same_shape a b) eqn:E; [| intros _; exact K]. apply zip_known. exact E.
Qed.

Theorem run_sound : forall s net cs p st x, (0 <= s)%Z -> Forall readable net ->
  known s (networks net) st x -> Forall (holds s (networks net) x) cs ->
  sound (fun new => known s (networks net) new x) (run s net cs p st).
Proof.
  intros s net cs p st x S R K H. revert st K. induction p as [|p IHp q IHq|rs|layers|t u v p IHp q IHq|units p IHp]; intros st K; simpl.
  - exact K.
  - specialize (IHp st K). destruct (run s net cs p st); [exact IHp | auto].
  - apply use_rows_sound; assumption.
  - apply pass_sound; assumption.
  - apply hull_sound; [exact K |].
    destruct (Rle_dec (power s * target_value net x t u) (IZR v)) as [V|V]; [left | right].
    + assert (N : sound (fun new => known s (networks net) new x) (narrowed t u 1 v st)).
      { apply narrowed_sound; [exact K | intros _; exact V | intros; lia]. }
      destruct (narrowed t u 1 v st); [exact N | exact (IHp _ N)].
    + assert (N : sound (fun new => known s (networks net) new x) (narrowed t u (-1) (- v) st)).
      { apply narrowed_sound; [exact K | intros; lia | intros _; rewrite opp_IZR; lra]. }
      destruct (narrowed t u (-1) (- v) st); [exact N | exact (IHq _ N)].
  - destruct (existsb _ units); [exact (IHp st K) | exact K].
Qed.

(** * Cases *)

Lemma initial_sound : forall s net b x, (0 <= s)%Z -> Forall readable net -> inside s b x ->
  known s (networks net) (initial s net b) x.
Proof.
  intros s net b x S R I. induction R as [|l net [_ [KS _]] R IH]; simpl; [exact I |].
  split; [| exact IH]. destruct (known_head _ _ _ _ IH) as [b' [rest [-> J]]]. simpl.
  apply intervals_sound; assumption.
Qed.

Lemma check_case_sound : forall s net c p x, (0 <= s)%Z -> Forall readable net -> check_case s net c p = true ->
  inside s (box c) x -> Forall (holds s (networks net) x) (common c) ->
  forall d, In d (disjuncts c) -> ~ Forall (holds s (networks net) x) d.
Proof.
  intros s net c [shared each] x S R E I H d D F. unfold check_case in E. simpl in E.
  pose proof (run_sound s net (common c) shared _ x S R (initial_sound s net _ x S R I) H) as U.
  destruct (run s net (common c) shared (initial s net (box c))) as [|st]; [exact U |]. simpl in U.
  revert each E D. induction (disjuncts c) as [|d' ds IH]; intros each E D; [destruct D |].
  destruct each as [|p each]; [discriminate |]. simpl in E. apply andb_true_iff in E. destruct E as [E1 E2].
  destruct D as [->|D]; [| exact (IH each E2 D)].
  assert (G : Forall (holds s (networks net) x) (d ++ common c)) by (apply Forall_app; split; assumption).
  pose proof (run_sound s net (d ++ common c) p st x S R U G) as V.
  destruct (run s net (d ++ common c) p st); [exact V | discriminate].
Qed.

Lemma prepared_networks : forall net widths, networks (prepared widths net) = net.
Proof. induction net as [|l net IH]; intros widths; simpl; [reflexivity |]. rewrite IH. reflexivity. Qed.

Lemma prepared_readable : forall net widths,
  well_formed net = true -> Forall readable (prepared widths net).
Proof.
  unfold well_formed.
  induction net as [|l net IH]; intros widths E; simpl in *; constructor.
  - apply andb_true_iff in E. destruct E as [E _]. apply andb_true_iff in E. destruct E as [E1 E2].
    split; [exists (hd 0%Z widths); reflexivity |]. simpl. split; [apply Z.leb_le; exact E1 | apply Nat.eqb_eq; exact E2].
  - apply IH. apply andb_true_iff in E. apply E.
Qed.

Theorem check_sound : forall p widths proofs, check p widths proofs = true -> forall x, ~ satisfies p x.
Proof.
  intros p widths proofs E x [c [C [[I H] [d [D F]]]]]. unfold check in E.
  apply andb_true_iff in E. destruct E as [E1 E3]. apply andb_true_iff in E1. destruct E1 as [E1 E2].
  apply Z.leb_le in E1. pose proof (prepared_readable (net p) widths E2) as R.
  rewrite <- (prepared_networks (net p) widths) in H, F.
  revert C proofs E3. induction (cases p) as [|c' cs IH]; intros C proofs E3; [destruct C |].
  destruct proofs as [|q proofs]; [discriminate |]. simpl in E3. apply andb_true_iff in E3. destruct E3 as [A B].
  destruct C as [->|C]; [| exact (IH C proofs B)].
  exact (check_case_sound _ _ _ _ x E1 R A I H d D F).
Qed.

Print Assumptions check_sound.
