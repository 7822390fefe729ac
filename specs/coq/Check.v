(** The checker: from what is known, and a proof, to what is known then. *)
Require Import ZArith List Bool Reals.
Require Import Network Numbers Packed Links Bound.
Import ListNotations.
Open Scope Z_scope.

(** Rows are multiplied by 2^row_bits. *)
Definition row_bits : Z := 48.

(** A row: [sign] times unit [unit] of the layer number [target] from the outputs (0 for none), multipliers, times
    2^row_bits, of the constraints, and what is said about the units of each layer, from the last hidden one on. *)
Record row_hint := Row { target : nat; unit : nat; sign : Z; mu : list Z; hints : list (list hint) }.

Inductive proof :=
  | Nothing
  | Both (first second : proof)
  | Rows (rs : list row_hint)
  | Pass (layers : list nat)
  | Split (at_layer at_unit : nat) (at_value : Z) (below above : proof)
  | While_open (units : list (nat * nat)) (p : proof).

(** - sum of mu_k times the row k *)
Fixpoint weighted (mu : list Z) (rows : list (list Z)) : list Z :=
  match mu, rows with
  | m :: mu', r :: rows' => if m <=? 0 then weighted mu' rows' else plus (map (Z.mul (- m)) r) (weighted mu' rows')
  | _, _ => []
  end.

Fixpoint allowance (mu : list Z) (cs : list constraint) : Z :=
  match mu, cs with
  | m :: mu', c :: cs' => if m <=? 0 then allowance mu' cs' else m * limit c + allowance mu' cs'
  | _, _ => 0
  end.

(** An upper bound of [sign * unit], times 2^(scale + row_bits). *)
Definition row_bound (scale : Z) (net : list packed) (cs : list constraint) (st : state) (r : row_hint) : option Z :=
  let own := unit_row (unit r) (Z.shiftl (sign r) row_bits) in
  let outputs := weighted (mu r) (map on_outputs cs) in
  let inputs := weighted (mu r) (map on_inputs cs) in
  match pulled scale net st [] (hints r) (put (target r) own (put (length net) inputs [outputs])) [] with
  | None => None
  | Some v => Some (v + allowance (mu r) cs)
  end.

(** What a change of a range gives; None where nothing is left. *)
Definition narrow (sign bound : Z) (range : Z * Z) : option (Z * Z) :=
  let '(l, u) := range in
  let l' := if sign <? 0 then Z.max l (- bound) else l in
  let u' := if 0 <? sign then Z.min u bound else u in
  if u' <? l' then None else Some (l', u').

Inductive outcome {A} := Empty | Known (a : A).
Arguments outcome : clear implicits.

Fixpoint change {A} (i : nat) (f : A -> outcome A) (v : list A) : outcome (list A) :=
  match v, i with
  | [], _ => Known []
  | a :: rest, O => match f a with Empty => Empty | Known b => Known (b :: rest) end
  | a :: rest, S j => match change j f rest with Empty => Empty | Known bs => Known (a :: bs) end
  end.

Definition narrowed (t u : nat) (sign bound : Z) (st : state) : outcome state :=
  change t (change u (fun range =>
    match narrow sign bound range with None => Empty | Some r => Known r end)) st.

Definition use_row (scale : Z) (net : list packed) (cs : list constraint) (st : state) (r : row_hint)
    : outcome state :=
  match row_bound scale net cs st r with
  | None => Known st
  | Some v => if sign r =? 0 then (if v <? 0 then Empty else Known st)
              else if Z.abs (sign r) =? 1 then narrowed (target r) (unit r) (sign r) (shrink row_bits v) st
              else Known st
  end.

Fixpoint use_rows (scale : Z) (net : list packed) (cs : list constraint) (rs : list row_hint) (st : state)
    : outcome state :=
  match rs with
  | [] => Known st
  | r :: rest => match use_row scale net cs st r with
                 | Empty => Empty
                 | Known st' => use_rows scale net cs rest st'
                 end
  end.

(** What two ranges say; None where they exclude each other. *)
Fixpoint meet (u v : bounds) : outcome bounds :=
  match u, v with
  | (l, h) :: u', (l', h') :: v' =>
      if Z.min h h' <? Z.max l l' then Empty
      else match meet u' v' with Empty => Empty | Known rest => Known ((Z.max l l', Z.min h h') :: rest) end
  | _, _ => Known u
  end.

(** Intervals of the layer number t from the outputs, and rows for the units that are open then. *)
Fixpoint meet_intervals (scale : Z) (net : list packed) (t : nat) (st : state) : outcome state :=
  match net, st, t with
  | l :: _, own :: (b :: _) as before, O =>
      match meet own (intervals scale (plain l) b) with Empty => Empty | Known new => Known (new :: before) end
  | _ :: net', own :: before, S t' =>
      match meet_intervals scale net' t' before with Empty => Empty | Known new => Known (own :: new) end
  | _, _, _ => Known st
  end.

Definition open_range (range : Z * Z) : bool := (fst range <? 0) && (0 <? snd range).

Definition open_rows (t : nat) (b : bounds) : list row_hint :=
  flat_map (fun numbered => if open_range (snd numbered)
                            then [Row t (fst numbered) 1 [] []; Row t (fst numbered) (-1) [] []] else [])
    (combine (seq 0 (length b)) b).

Definition pass_layer (scale : Z) (net : list packed) (t : nat) (st : state) : outcome state :=
  match meet_intervals scale net t st with
  | Empty => Empty
  | Known st' => if (S t =? length net)%nat then Known st'
                 else use_rows scale net [] (open_rows t (nth t st' [])) st'
  end.

Fixpoint pass (scale : Z) (net : list packed) (layers : list nat) (st : state) : outcome state :=
  match layers with
  | [] => Known st
  | t :: rest => match pass_layer scale net t st with
                 | Empty => Empty
                 | Known st' => pass scale net rest st'
                 end
  end.

Definition wider (a b : Z * Z) : Z * Z := (Z.min (fst a) (fst b), Z.max (snd a) (snd b)).

Fixpoint zip {A} (f : A -> A -> A) (u v : list A) : list A :=
  match u, v with a :: u', b :: v' => f a b :: zip f u' v' | _, _ => [] end.

Definition same_shape (a b : state) : bool :=
  (length a =? length b)%nat &&
  forallb (fun pair => (length (fst pair) =? length (snd pair))%nat) (combine a b).

(** What holds on both sides of a split of what is known. *)
Definition hull (known : state) (a b : outcome state) : outcome state :=
  match a, b with
  | Empty, r => r
  | r, Empty => r
  | Known s, Known s' => if same_shape s s' then Known (zip (zip wider) s s') else Known known
  end.

Fixpoint run (scale : Z) (net : list packed) (cs : list constraint) (p : proof) (st : state) : outcome state :=
  match p with
  | Nothing => Known st
  | Both first second => match run scale net cs first st with
                         | Empty => Empty
                         | Known st' => run scale net cs second st'
                         end
  | Rows rs => use_rows scale net cs rs st
  | Pass layers => pass scale net layers st
  | Split t u at_value below above =>
      let side sign bound p := match narrowed t u sign bound st with
                               | Empty => Empty
                               | Known st' => run scale net cs p st'
                               end in
      hull st (side 1 at_value below) (side (-1) (- at_value) above)
  | While_open units p =>
      if existsb (fun one => open_range (nth (snd one) (nth (fst one) st []) (0, 0))) units
      then run scale net cs p st else Known st
  end.

(** Intervals of all layers from a box. *)
Fixpoint initial (scale : Z) (net : list packed) (b : bounds) : state :=
  match net with
  | [] => [b]
  | l :: before => let st := initial scale before b in intervals scale (plain l) (hd [] st) :: st
  end.

(** A proof about a case: what all disjuncts share, then one for each. *)
Definition is_empty (o : outcome state) : bool := match o with Empty => true | Known _ => false end.

Fixpoint check_disjuncts (scale : Z) (net : list packed) (cs : list constraint) (st : state)
    (ds : list (list constraint)) (ps : list proof) : bool :=
  match ds, ps with
  | [], _ => true
  | d :: ds', p :: ps' => is_empty (run scale net (d ++ cs) p st) && check_disjuncts scale net cs st ds' ps'
  | _, [] => false
  end.

Definition check_case (scale : Z) (net : list packed) (c : case) (p : proof * list proof) : bool :=
  match run scale net (common c) (fst p) (initial scale net (box c)) with
  | Empty => true
  | Known st => check_disjuncts scale net (common c) st (disjuncts c) (snd p)
  end.

Fixpoint check_cases (scale : Z) (net : list packed) (cs : list case) (ps : list (proof * list proof)) : bool :=
  match cs, ps with
  | [], _ => true
  | c :: cs', p :: ps' => check_case scale net c p && check_cases scale net cs' ps'
  | _, [] => false
  end.

(** [widths]: of the digits of packed rows, for each layer. *)
Fixpoint prepared (widths : list Z) (net : network) : list packed :=
  match net with
  | [] => []
  | l :: before => prepare (hd 0 widths) l :: prepared (tl widths) before
  end.

Definition well_formed (net : network) : bool :=
  forallb (fun l => (0 <=? shift l) && (length (weights l) =? length (bias l))%nat) net.

Definition check (p : problem) (widths : list Z) (proofs : list (proof * list proof)) : bool :=
  (0 <=? scale p) && well_formed (net p) &&
  check_cases (scale p) (prepared widths (net p)) (cases p) proofs.
