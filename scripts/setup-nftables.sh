#!/usr/bin/env bash
# Finds nftables, or installs Debian's where NFTABLES_FROM_DEBIAN=1. Says NFT=program.
exec bash "$(dirname "${BASH_SOURCE[0]}")/find-or-install.sh" NFT nftables nft
