#!/usr/bin/env bash
# find-or-install.sh KEY PACKAGE PROGRAM...
#
# Finds the first of these programs, or installs Debian's package. The last line on standard output says where it is, or
# that there is none:
#
#   KEY=the program, or nothing
#
# LIFERAFT_KEY names one. PACKAGE_FROM_DEBIAN=1 (in capitals, as root) installs Debian's package where none is found.
set -euo pipefail

readonly KEY=$1 PACKAGE=$2
shift 2
named=LIFERAFT_$KEY
from_debian=${PACKAGE^^}_FROM_DEBIAN

# Debian installs some where only root looks for programs.
export PATH="$PATH:/usr/sbin:/usr/bin"

find_one() {
    if [ -n "${!named:-}" ]; then
        command -v "${!named}"
        return
    fi
    local program
    for program in "$@"; do
        command -v "$program" && return
    done
    true
}

found=$(find_one "$@")
if [ -z "$found" ] && [ "${!from_debian:-}" = 1 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >&2
    apt-get -qq install -y --no-install-recommends "$PACKAGE" >&2
    found=$(find_one "$@")
fi
echo "$KEY=$found"
