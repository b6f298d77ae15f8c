#!/usr/bin/env bash
# A whole facility on this machine: local-facility.sh up|status|down [--directory FOLDER]; --help says more.
# Thin: the work is in flows/gbx_services/facility.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="${GBX_PYTHON:-$here/../.venv/bin/python}"
[ -x "$python" ] || python="$(command -v python3)"
if [ "${1:-}" = up ]; then set -- "$@" --templates "$here"; fi
exec "$python" -m gbx_services.facility "$@"
