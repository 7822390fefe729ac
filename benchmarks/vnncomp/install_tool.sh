#!/bin/bash
# VNN-COMP: install_tool.sh v1 - installs eqverify from this source tree for `python3`, or for $EQVERIFY_PYTHON.
set -euo pipefail
[ "${1:-}" = v1 ] || { echo "expected the version string v1, got '${1:-}'" >&2; exit 1; }
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec "${EQVERIFY_PYTHON:-python3}" -m pip install "$here/../.."
