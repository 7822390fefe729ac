#!/bin/bash
# VNN-COMP: run_instance.sh v1 CATEGORY NETWORKS VNNLIB RESULT TIMEOUT - writes the result file.
# NETWORKS is a path, or a Python list of (name, path) for a property about several networks.
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
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
timeout --kill-after=2 "$(awk "BEGIN{print $timeout + 2}")" \
    "${EQVERIFY_PYTHON:-python3}" -m eqverify verify "$vnnlib" "${networks[@]}" --timeout "$timeout" \
    --backend "${EQVERIFY_BACKEND:-scip}" --result-file "$result" ${EQVERIFY_OPTIONS:-}
status=$?
if [ ! -e "$result" ]; then
    case $status in 124 | 137) echo timeout ;; *) echo error ;; esac > "$result"
fi
exit 0
