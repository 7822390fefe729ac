(** Powers of two, and division by them. *)
Require Import ZArith Reals Lra Lia.
Require Import Network.
Open Scope Z_scope.

(** Rounded up. *)
Definition shrink (k a : Z) : Z := - Z.shiftr (- a) k.

Open Scope R_scope.

Lemma power_positive : forall k, (0 <= k)%Z -> 0 < power k.
Proof. intros k K. apply IZR_lt. apply Z.pow_pos_nonneg; lia. Qed.

Lemma max_left : forall a b, IZR a <= IZR (Z.max a b).
Proof. intros. apply IZR_le. lia. Qed.

Lemma max_right : forall a b, IZR b <= IZR (Z.max a b).
Proof. intros. apply IZR_le. lia. Qed.

Lemma shrink_between : forall k a, (0 <= k -> a <= 2 ^ k * shrink k a < a + 2 ^ k)%Z.
Proof.
  intros k a K. unfold shrink. rewrite Z.shiftr_div_pow2 by assumption.
  assert (P : (0 < 2 ^ k)%Z) by (apply Z.pow_pos_nonneg; lia).
  pose proof (Z.mul_div_le (- a) (2 ^ k) P). pose proof (Z.mul_succ_div_gt (- a) (2 ^ k) P). lia.
Qed.

Lemma shrink_sound : forall k a, (0 <= k)%Z -> IZR a <= power k * IZR (shrink k a).
Proof.
  intros k a K. unfold power. rewrite <- mult_IZR. apply IZR_le. apply shrink_between. exact K.
Qed.

Lemma shrink_bound : forall k a t, (0 <= k)%Z -> power k * t <= IZR a -> t <= IZR (shrink k a).
Proof.
  intros k a t K T. apply (Rmult_le_reg_l (power k)); [apply power_positive; exact K |].
  eapply Rle_trans; [exact T | apply shrink_sound; exact K].
Qed.

Lemma shifted : forall a k, (0 <= k)%Z -> IZR (Z.shiftl a k) = power k * IZR a.
Proof. intros. rewrite Z.shiftl_mul_pow2 by assumption. rewrite mult_IZR. unfold power. ring. Qed.
