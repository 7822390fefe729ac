#!/bin/bash
# VNN-COMP: run_instance.sh v1 CATEGORY ONNX VNNLIB RESULT TIMEOUT - writes the result file.
# EQVERIFY_BACKEND names the backend, EQVERIFY_OPTIONS further options of `eqverify verify`.
set -uo pipefail
[ "${1:-}" = v1 ] || { echo "expected the version string v1, got '${1:-}'" >&2; exit 1; }
[ $# -eq 6 ] || { echo "usage: run_instance.sh v1 CATEGORY ONNX VNNLIB RESULT TIMEOUT" >&2; exit 1; }
onnx="$3" vnnlib="$4" result="$5" timeout="$6"
[ -e "$onnx" ] || onnx="$onnx.gz"
[ -e "$vnnlib" ] || vnnlib="$vnnlib.gz"
rm -f "$result"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
timeout --kill-after=2 "$(awk "BEGIN{print $timeout + 2}")" \
    "${EQVERIFY_PYTHON:-python3}" -m eqverify verify "$vnnlib" --network "=$onnx" --timeout "$timeout" \
    --backend "${EQVERIFY_BACKEND:-scip}" --result-file "$result" ${EQVERIFY_OPTIONS:-}
status=$?
if [ ! -e "$result" ]; then
    case $status in 124 | 137) echo timeout ;; *) echo error ;; esac > "$result"
fi
exit 0
