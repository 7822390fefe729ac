#!/bin/bash
# VNN-COMP: prepare_instance.sh v1 CATEGORY NETWORKS VNNLIB - sees that the files can be read; a category is never refused.
# NETWORKS is a path, or a Python list of (name, path).
set -euo pipefail
[ "${1:-}" = v1 ] || { echo "expected the version string v1, got '${1:-}'" >&2; exit 1; }
[ $# -eq 4 ] || { echo "usage: prepare_instance.sh v1 CATEGORY NETWORKS VNNLIB" >&2; exit 1; }
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
"${EQVERIFY_PYTHON:-python3}" "$here/networks.py" "$3" > /dev/null
[ -r "$4" ] || [ -r "$4.gz" ] || { echo "cannot read $4" >&2; exit 1; }
