#!/usr/bin/env bash
# Finds a Chromium, or installs Debian's. Its last line on standard output says where it is, or that there is none:
#
#   CHROMIUM=the program, or nothing
#
# LIFERAFT_CHROMIUM names one. CHROMIUM_FROM_DEBIAN=1 (as root) installs Debian's package where none is found.
set -euo pipefail

find_one() {
    if [ -n "${LIFERAFT_CHROMIUM:-}" ]; then
        command -v "$LIFERAFT_CHROMIUM"
        return
    fi
    command -v chromium || command -v chromium-browser || command -v google-chrome || true
}

found=$(find_one)
if [ -z "$found" ] && [ "${CHROMIUM_FROM_DEBIAN:-}" = 1 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >&2
    apt-get -qq install -y --no-install-recommends chromium >&2
    found=$(find_one)
fi
echo "CHROMIUM=$found"
