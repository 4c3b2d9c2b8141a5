#!/usr/bin/env bash
# Finds a Chromium (LIFERAFT_CHROMIUM names one), or installs Debian's where CHROMIUM_FROM_DEBIAN=1. Says CHROMIUM=program.
exec bash "$(dirname "${BASH_SOURCE[0]}")/find-or-install.sh" CHROMIUM chromium chromium chromium-browser google-chrome
