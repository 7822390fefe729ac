#!/bin/sh
# Checks the proofs, extracts the checker and compiles it: DIRECTORY/eqverify-coq-check, and DIRECTORY/log with the axioms.
# Usage: build.sh [DIRECTORY]; needs coqc (8.16), ocamlfind, ocamlopt, zarith.
set -eu
sources=$(cd "$(dirname "$0")" && pwd)
target=${1:-$sources/out}
mkdir -p "$target"
cp "$sources"/*.v "$sources/main.ml" "$target"
cd "$target"
: > log
for file in Network Numbers Packed Links Bound Check Sound Pair PairSound Point Extract; do
    coqc -Q . "" $file.v >> log 2>&1 || { cat log >&2; exit 1; }
done
if grep -n -E '(Admitted|admit|Axiom|Parameter|Conjecture)' ./*.v; then
    echo "a proof has a gap" >&2
    exit 1
fi
ocamlfind ocamlopt -O3 -w -a -package zarith -linkpkg kernel.mli kernel.ml main.ml -o eqverify-coq-check >> log 2>&1 || { cat log >&2; exit 1; }
cat log
