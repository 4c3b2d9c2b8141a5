#!/usr/bin/env bash
# Finds a coturn (LIFERAFT_TURNSERVER names one), or installs Debian's where COTURN_FROM_DEBIAN=1. Says TURNSERVER=program.
exec bash "$(dirname "${BASH_SOURCE[0]}")/find-or-install.sh" TURNSERVER coturn turnserver
