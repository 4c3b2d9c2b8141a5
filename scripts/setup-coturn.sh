#!/usr/bin/env bash
# Finds a coturn, or installs Debian's. Its last line on standard output says where it is, or that there is none:
#
#   TURNSERVER=the program, or nothing
#
# LIFERAFT_TURNSERVER names one. COTURN_FROM_DEBIAN=1 (as root) installs Debian's package where none is found.
set -euo pipefail

# Debian installs it where only root looks for programs.
export PATH="$PATH:/usr/sbin:/usr/bin"

find_one() {
    if [ -n "${LIFERAFT_TURNSERVER:-}" ]; then
        command -v "$LIFERAFT_TURNSERVER"
        return
    fi
    command -v turnserver || true
}

found=$(find_one)
if [ -z "$found" ] && [ "${COTURN_FROM_DEBIAN:-}" = 1 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >&2
    apt-get -qq install -y --no-install-recommends coturn >&2
    found=$(find_one)
fi
echo "TURNSERVER=$found"
