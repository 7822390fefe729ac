#!/bin/bash
# VNN-COMP: run_instance.sh v1 CATEGORY NETWORKS VNNLIB RESULT TIMEOUT - writes the result file.
# NETWORKS is a path, or a Python list of (name, path) for a property about several networks.
# EQVERIFY_PROOFS names a folder for proofs, CATEGORY/NETWORK-PROPERTY-CHECKSUM.proof; verdicts without are then unknown.
# EQVERIFY_BACKEND names the backend, EQVERIFY_OPTIONS further options of `eqverify verify`.
set -uo pipefail
[ "${1:-}" = v1 ] || { echo "expected the version string v1, got '${1:-}'" >&2; exit 1; }
[ $# -eq 6 ] || { echo "usage: run_instance.sh v1 CATEGORY NETWORKS VNNLIB RESULT TIMEOUT" >&2; exit 1; }
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
vnnlib="$4" result="$5" timeout="$6"
[ -e "$vnnlib" ] || vnnlib="$vnnlib.gz"
rm -f "$result"
networks=()
while IFS= read -r network; do
    networks+=(--network "$network")
done < <(timeout 5 "${EQVERIFY_PYTHON:-python3}" "$here/networks.py" "$3")
proof=()
if [ -n "${EQVERIFY_PROOFS:-}" ]; then
    name="$(basename "$3")-$(basename "$4")-$(printf '%s\n' "$3" "$4" | cksum | cut -d ' ' -f 1)"
    proof=(--proof "$EQVERIFY_PROOFS/${2//[^A-Za-z0-9.-]/_}/${name//[^A-Za-z0-9.-]/_}.proof")
    mkdir -p "$(dirname "${proof[1]}")" && rm -f "${proof[1]}"
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
timeout --kill-after=2 "$(awk "BEGIN{print $timeout + 2}")" \
    "${EQVERIFY_PYTHON:-python3}" -m eqverify verify "$vnnlib" "${networks[@]}" --timeout "$timeout" \
    --backend "${EQVERIFY_BACKEND:-scip}" --result-file "$result" ${proof[@]+"${proof[@]}"} ${EQVERIFY_OPTIONS:-}
status=$?
if [ ! -e "$result" ]; then
    case $status in 124 | 137) echo timeout ;; *) echo error ;; esac > "$result"
fi
exit 0
