(* Reads a problem and a proof, integers separated by spaces, and prints what the checker proved in Coq says.

   Usage: kernel PROBLEM PROOF.  Prints "verified" (exit status 0) or "rejected" (1); whatever cannot be read ends with
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

let read_problem name =
  let next = reader name in
  let integers () = list next next in
  let flag () = match natural next with 0 -> false | 1 -> true | _ -> failwith "0 or 1 was expected" in
  let pair () = let low = next () in let high = next () in (low, high) in
  let layer () =
    let shift = next () in
    let weights = list next integers in
    let bias = integers () in
    let behind_relu = flag () in
    { weights; bias; shift; behind_relu } in
  let constraint_ () =
    let on_outputs = integers () in
    let on_inputs = integers () in
    let limit = next () in
    { on_outputs; on_inputs; limit } in
  let case () =
    let box = list next pair in
    let common = list next constraint_ in
    let disjuncts = list next (fun () -> list next constraint_) in
    { box; common; disjuncts } in
  let scale = next () in
  let net = list next layer in
  let cases = list next case in
  ended next;
  { net; scale; cases }

let read_proofs name =
  let next = reader name in
  let hint () =
    match natural next with
    | 0 -> Default
    | 1 -> let alpha = next () in let lam = next () in let tau = next () in Slopes (alpha, lam, tau)
    | _ -> failwith "an unknown hint" in
  let row () =
    let target = natural next in
    let unit0 = natural next in
    let sign = next () in
    let mu = list next next in
    let hints = list next (fun () -> list next hint) in
    { target; unit0; sign; mu; hints } in
  let rec proof () =
    match natural next with
    | 0 -> Nothing
    | 1 -> let first = proof () in let second = proof () in Both (first, second)
    | 2 -> Rows (list next row)
    | 3 -> Pass (list next (fun () -> natural next))
    | 4 ->
      let layer = natural next in
      let unit = natural next in
      let value = next () in
      let below = proof () in
      let above = proof () in
      Split (layer, unit, value, below, above)
    | _ -> failwith "an unknown step" in
  let widths = list next next in
  let proofs = list next (fun () -> let shared = proof () in let each = list next proof in (shared, each)) in
  ended next;
  (widths, proofs)

let () =
  Gc.set { (Gc.get ()) with minor_heap_size = 1 lsl 22 };  (* large integers would start collections all the time *)
  match
    let problem = read_problem Sys.argv.(1) in
    let (widths, proofs) = read_proofs Sys.argv.(2) in
    check problem widths proofs
  with
  | true -> print_endline "verified"
  | false -> print_endline "rejected"; exit 1
  | exception error -> prerr_endline (Printexc.to_string error); exit 2
