#!/bin/sh
# Puts the nodes that tests and `gitprov devnet` start into a cached folder, in exact versions; never fails.
# Nothing is done, or printed, for what is there. Tests that miss one are skipped and say so.
set -u

ANVIL=1.7.1
SOLC=0.8.37
BTCD=v0.26.2
KUBO=v0.43.1

what="nodes"
. "$(dirname "$0")/services_common.sh"

npm_packages npm "anvil and solc are" "@foundry-rs/anvil@$ANVIL" "solc@$SOLC"
go_program btcd "$BTCD" github.com/btcsuite/btcd
# This kubo names a fork of go-libp2p that nobody serves; the release fits these two.
go_program ipfs "$KUBO" github.com/ipfs/kubo/cmd/ipfs \
    github.com/quic-go/quic-go=github.com/quic-go/quic-go@v0.60.0 \
    github.com/quic-go/webtransport-go=github.com/quic-go/webtransport-go@v0.11.1
exit 0
