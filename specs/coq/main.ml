(* Reads a problem and a proof, integers separated by spaces, and prints what the checker proved in Coq says.

   Usage: kernel unsat|near|sat PROBLEM PROOF.  Prints "verified" (exit status 0) or "rejected" (1); whatever cannot be read ends with
   exit status 2.  README.md describes both files. *)

module Integer = Z
open Kernel

let reader name =
  let channel = open_in_bin name in
  let buffer = Buffer.create 64 in
  let rec word () =
    match input_char channel with
    | exception End_of_file -> if Buffer.length buffer = 0 then raise End_of_file
    | ' ' | '\n' -> if Buffer.length buffer = 0 then word ()
    | c -> Buffer.add_char buffer c; word ()
  in
  fun () -> Buffer.clear buffer; word (); Integer.of_string (Buffer.contents buffer)

let ended next = match next () with exception End_of_file -> () | _ -> failwith "more numbers than expected"

(* The elements are read in order. *)
let list next element =
  let rec more count found = if count = 0 then List.rev found else let one = element () in more (count - 1) (one :: found) in
  let count = Integer.to_int (next ()) in
  if count < 0 then failwith "a negative count" else more count []

let natural next = let n = Integer.to_int (next ()) in if n < 0 then failwith "a negative number" else n

let flag next = match natural next with 0 -> false | 1 -> true | _ -> failwith "0 or 1 was expected"

let read_network next =
  let layer () =
    let shift = next () in
    let weights = list next (fun () -> list next next) in
    let bias = list next next in
    let behind_relu = flag next in
    { weights; bias; shift; behind_relu } in
  list next layer

let read_constraint next () =
  let on_outputs = list next next in
  let on_inputs = list next next in
  let limit = next () in
  { on_outputs; on_inputs; limit }

let read_problem next =
  let pair () = let low = next () in let high = next () in (low, high) in
  let constraints () = list next (read_constraint next) in
  let case () =
    let box = list next pair in
    let common = constraints () in
    let disjuncts = list next constraints in
    { box; common; disjuncts } in
  let scale = next () in
  let net = read_network next in
  let cases = list next case in
  { net; scale; cases }

let read_hint next () =
  match natural next with
  | 0 -> Default
  | 1 -> let alpha = next () in let lam = next () in let tau = next () in Slopes (alpha, lam, tau)
  | _ -> failwith "an unknown hint"

let rec read_proof next =
  let row () =
    let target = natural next in
    let unit0 = natural next in
    let sign = next () in
    let mu = list next next in
    let hints = list next (fun () -> list next (read_hint next)) in
    { target; unit0; sign; mu; hints } in
  match natural next with
  | 0 -> Nothing
  | 1 -> let first = read_proof next in let second = read_proof next in Both (first, second)
  | 2 -> Rows (list next row)
  | 3 -> Pass (list next (fun () -> natural next))
  | 4 ->
    let layer = natural next in
    let unit = natural next in
    let value = next () in
    let below = read_proof next in
    let above = read_proof next in
    Split (layer, unit, value, below, above)
  | 5 ->
    let units = list next (fun () -> let layer = natural next in let unit = natural next in (layer, unit)) in
    While_open (units, read_proof next)
  | _ -> failwith "an unknown step"

let read_fact next () =
  match natural next with
  | 0 -> let layer = natural next in let unit = natural next in let sign = next () in Sign (layer, unit, sign)
  | 1 ->
    let layer = natural next in
    let from = natural next in
    let level = natural next in
    let onto = natural next in
    let factor = next () in
    let places = next () in
    let flipped = flag next in
    Equal (layer, { from; level; onto; factor; places; flipped; off = Integer.zero })
  | _ -> failwith "an unknown fact"

let read_comparison next () =
  let target () =
    match natural next with
    | 0 -> None
    | 1 -> let layer = natural next in let unit = natural next in Some (layer, unit)
    | _ -> failwith "an unknown target" in
  let steps = read_proof next in
  let facts = list next (read_fact next) in
  let lines_at = list next (fun () -> list next (read_hint next)) in
  let maps_of = list next (fun () -> list next target) in
  let bits = next () in
  { steps; facts; lines_at; maps_of; bits }

let unsat problem proof =
  let p = read_problem problem in
  ended problem;
  let widths = list proof proof in
  let proofs = list proof (fun () -> let shared = read_proof proof in let each = list proof (fun () -> read_proof proof) in (shared, each)) in
  ended proof;
  check p widths proofs

let near problem proof =
  let p = read_problem problem in
  let reduced = read_network problem in
  let epsilon = list problem problem in
  let signs = list problem (fun () -> list problem problem) in
  ended problem;
  let widths = list proof proof in
  let fine = list proof proof in
  let widths_of_reduced = list proof proof in
  let proofs = list proof (read_comparison proof) in
  ended proof;
  check_pair p reduced signs epsilon widths fine widths_of_reduced proofs

let sat problem proof =
  let net = read_network problem in
  let rows = list problem (fun () -> let strict = flag problem in (strict, read_constraint problem ())) in
  ended problem;
  let denominator = proof () in
  let point = list proof proof in
  ended proof;
  check_point net rows point denominator

let () =
  (* large integers would start collections all the time *)
  Gc.set { (Gc.get ()) with minor_heap_size = 1 lsl 22; space_overhead = 1000 };
  match
    let claim = match Sys.argv.(1) with "unsat" -> unsat | "near" -> near | "sat" -> sat | _ -> failwith "unsat, near or sat" in
    let problem = reader Sys.argv.(2) in
    claim problem (reader Sys.argv.(3))
  with
  | true -> print_endline "verified"
  | false -> print_endline "rejected"; exit 1
  | exception error -> prerr_endline (Printexc.to_string error); exit 2
