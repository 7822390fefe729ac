(** Two networks compared row by row (D-1 and D-2 in specs/rewrites.md): how far the second is from the first, f.

    A unit of the second with z stands for one of f with z', whose difference was bounded before in the same way:
    it shows h' + s (z - z') with some s from 0 to 1.  Any other unit is only known by its range. *)
Require Import ZArith List Bool Reals.
Require Import Network Numbers Packed Links Bound Check.
Import ListNotations.
Open Scope Z_scope.

(** f: what is known of it, which of its units equal others, and the lines that are taken at its units. *)
Record side := Side { at_scale : Z; of_net : list packed; ranges : state; equal : list (list link);
                      taken : list (list hint) }.

Definition most_on (f : side) (az ah : list (list Z)) : option Z :=
  pulled (at_scale f) (of_net f) (ranges f) (equal f) (taken f) az ah.

(** Whether a ReLU stands behind the layer number t from the outputs. *)
Definition active_at (net : network) (t : nat) : bool := nth t (false :: map behind_relu net) false.

(** * What holds of f besides: signs of units, and units that nearly equal others. *)
Inductive fact := Sign (layer unit : nat) (sign : Z) | Equal (layer : nat) (k : link).

Fixpoint add_link (t : nat) (k : link) (links : list (list link)) : list (list link) :=
  match t with
  | O => (k :: hd [] links) :: tl links
  | S t' => hd [] links :: add_link t' k (tl links)
  end.

(** sign (z_from - factor z_onto), or the sum where the link is flipped, is at most this. *)
Definition premise (f : side) (bits : Z) (t : nat) (k : link) (sign : Z) : option Z :=
  let other := (if flipped k then 1 else -1) * Z.shiftl (factor k) (bits - places k) in
  match most_on f (put_unit t (from k) (sign * Z.shiftl 1 bits)
                     (put_unit (t + level k) (onto k) (sign * other) [])) [] with
  | None => None
  | Some v => Some (shrink bits v)
  end.

Definition learn (bits : Z) (f : side) (what : fact) : outcome side :=
  match what with
  | Sign t u sign =>
      match most_on f (put_unit t u (sign * Z.shiftl 1 bits) []) [] with
      | None => Known f
      | Some v => if Z.abs sign =? 1 then
          match narrowed t u sign (shrink bits v) (ranges f) with
          | Empty => Empty
          | Known st => Known (Side (at_scale f) (of_net f) st (equal f) (taken f))
          end else Known f
      end
  | Equal t k =>
      let net := networks (of_net f) in
      if active_at net t && active_at net (t + level k) && (0 <=? factor k) && (0 <=? places k) && (places k <=? bits)
      then match premise f bits t k 1, premise f bits t k (-1) with
           | Some a, Some b =>
               let found := Link (from k) (level k) (onto k) (factor k) (places k) (flipped k) (Z.max a b) in
               Known (Side (at_scale f) (of_net f) (ranges f) (add_link (pred t) found (equal f)) (taken f))
           | _, _ => Known f
           end
      else Known f
  end.

Fixpoint learn_all (bits : Z) (f : side) (facts : list fact) : outcome side :=
  match facts with
  | [] => Known f
  | one :: rest => match learn bits f one with Empty => Empty | Known f' => learn_all bits f' rest end
  end.

(** * The second network *)

(** What a unit of the second network is: within [off] of a unit of f, before the activation; or in a range. *)
Inductive meaning := Near (layer unit : nat) (off : Z) | Range (low high : Z).

(** A row behind the activation as one before it and rows on f, and what is lost. *)
Fixpoint replaced (active : bool) (row : list Z) (ms : list meaning) (az ah : list (list Z)) (lost : Z)
    : list Z * list (list Z) * list (list Z) * Z :=
  match row, ms with
  | a :: row', Near t u d :: ms' =>
      let c := if d =? 0 then 0 else Z.shiftr a 1 in
      let '(cs, az', ah', total) :=
        replaced active row' ms' (put_unit t u (- c) az) (put_unit t u a ah)
          (lost + Z.max (Z.abs c) (Z.abs (a - c)) * d) in
      (c :: cs, az', ah', total)
  | a :: row', Range l u :: ms' =>
      let c := usual active a l u in
      let '(cs, az', ah', total) := replaced active row' ms' az ah (lost + cost active a c l u) in
      (c :: cs, az', ah', total)
  | _, _ => ([], az, ah, lost)
  end.

Fixpoint rounded (active : bool) (k : Z) (row : list Z) (ms : list meaning) : Z :=
  if active then 0 else
  match row, ms with
  | a :: row', m :: ms' => match m with Range l _ => inexact k a l | Near _ _ _ => 0 end + rounded active k row' ms'
  | _, _ => 0
  end.

(** A row on the last layer of g as rows on f and what is lost; f has [depth] layers, and the same inputs. *)
Fixpoint across (scale : Z) (depth : nat) (g : list packed) (ms : list (list meaning)) (az ah : list (list Z)) (lost : Z)
    (row : list Z) : option (list (list Z) * list (list Z) * Z) :=
  match g with
  | [] => Some (put depth row az, ah, lost)
  | l :: before =>
      if nothing row then Some (az, ah, lost) else
      match back l row, ms with
      | Some arrived, m :: ms' =>
          let k := shift (plain l) in
          let active := behind_relu (plain l) in
          let constant := Z.shiftl (zdot row (bias (plain l))) scale in
          let '(cs, az', ah', lost') :=
            replaced active (map (shrink k) arrived) m az ah (lost + shrink k constant + rounded active k arrived m) in
          across scale depth before ms' az' ah' lost' cs
      | _, _ => None
      end
  end.

(** The most that sign (z_u - z') can be, for z' of the target in f, 0 where there is none. *)
Definition gap (f : side) (bits : Z) (g : list packed) (ms : list (list meaning)) (u : nat) (target : option (nat * nat))
    (sign : Z) : option Z :=
  let one := sign * Z.shiftl 1 bits in
  let az := match target with Some (t, k) => put_unit t k (- one) [] | None => [] end in
  match across (at_scale f) (length (of_net f)) g ms az [] 0 (unit_row u one) with
  | None => None
  | Some (az', ah', lost) =>
      match most_on f az' ah' with None => None | Some v => Some (shrink bits (v + lost)) end
  end.

Definition mean (f : side) (bits : Z) (active : bool) (g : list packed) (ms : list (list meaning)) (u : nat)
    (target : option (nat * nat)) : option meaning :=
  let close := match target with Some (t, _) => active && active_at (networks (of_net f)) t | None => false end in
  let aim := if close then target else None in
  match gap f bits g ms u aim 1, gap f bits g ms u aim (-1) with
  | Some a, Some b => Some (match aim with Some (t, k) => Near t k (Z.max a b) | None => Range (- b) a end)
  | _, _ => None
  end.

Fixpoint each_unit (f : nat -> option (nat * nat) -> option meaning) (u count : nat) (targets : list (option (nat * nat)))
    : option (list meaning) :=
  match count with
  | O => Some []
  | S more => match f u (hd None targets), each_unit f (S u) more (tl targets) with
              | Some m, Some ms => Some (m :: ms)
              | _, _ => None
              end
  end.

(** Of what the layers of g read, from the last one on; [maps] says what its units stand for. *)
Fixpoint meanings (f : side) (bits : Z) (box : bounds) (g : list packed) (maps : list (list (option (nat * nat))))
    : option (list (list meaning)) :=
  match g with
  | [] => Some []
  | l :: before =>
      match meanings f bits box before (tl maps) with
      | None => None
      | Some ms =>
          match before with
          | [] => Some [map (fun range => Range (fst range) (snd range)) box]
          | first :: _ =>
              match each_unit (mean f bits (behind_relu (plain l)) before ms) 0 (length (weights (plain first)))
                      (hd [] maps) with
              | None => None
              | Some own => Some (own :: ms)
              end
          end
      end
  end.

Fixpoint within (f : side) (bits : Z) (g : list packed) (ms : list (list meaning)) (k : nat) (epsilon : list Z) : bool :=
  match epsilon with
  | [] => true
  | e :: rest =>
      match gap f bits g ms k (Some (O, k)) 1, gap f bits g ms k (Some (O, k)) (-1) with
      | Some a, Some b => (a <=? e) && (b <=? e) && within f bits g ms (S k) rest
      | _, _ => false
      end
  end.

(** Whether ranges show signs (K-6). *)
Fixpoint show (row : list Z) (b : bounds) : bool :=
  match row, b with
  | [], _ => true
  | s :: row', (l, u) :: b' => (if 0 <? s then 0 <=? l else if s <? 0 then u <=? 0 else true) && show row' b'
  | _, [] => false
  end.

Fixpoint show_all (signs : list (list Z)) (st : state) : bool :=
  match signs, st with
  | [], _ => true
  | row :: rest, b :: st' => show row b && show_all rest st'
  | _, [] => false
  end.

(** What a proof says about one case: steps about f; then facts, lines at f's units, what g's units stand for, and
    how many binary places rows have. *)
Record comparison := Comparison { steps : proof; facts : list fact; lines_at : list (list hint);
                                  maps_of : list (list (option (nat * nat))); bits : Z }.

Definition check_near (scale : Z) (f fine g : list packed) (signs : list (list Z)) (epsilon : list Z) (c : case)
    (p : comparison) : bool :=
  (0 <=? bits p) &&
  match run scale f (common c) (steps p) (initial scale f (box c)) with
  | Empty => true
  | Known st =>
      match learn_all (bits p) (Side scale fine st [] (lines_at p)) (facts p) with
      | Empty => true
      | Known s =>
          match meanings s (bits p) (box c) g (maps_of p) with
          | None => false
          | Some ms => show_all signs (ranges s) && within s (bits p) g ms 0 epsilon
          end
      end
  end.

Fixpoint check_all_near (scale : Z) (f fine g : list packed) (signs : list (list Z)) (epsilon : list Z)
    (cs : list case) (ps : list comparison) : bool :=
  match cs, ps with
  | [], _ => true
  | c :: cs', p :: ps' => check_near scale f fine g signs epsilon c p && check_all_near scale f fine g signs epsilon cs' ps'
  | _, [] => false
  end.

(** [widths], [fine], [widths_of_g]: of the digits of packed rows, for steps and for comparisons. *)
Definition check_pair (p : problem) (g : network) (signs : list (list Z)) (epsilon : list Z)
    (widths fine widths_of_g : list Z) (proofs : list comparison) : bool :=
  (0 <=? scale p) && well_formed (net p) && well_formed g &&
  check_all_near (scale p) (prepared widths (net p)) (prepared fine (net p)) (prepared widths_of_g g) signs epsilon
    (cases p) proofs.
