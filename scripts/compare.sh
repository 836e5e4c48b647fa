#!/usr/bin/env bash
# Points every tool at every hostile server of the demo, and prints what each
# says into docs/comparison.md.
set -euo pipefail
cd "$(dirname "$0")/.."
MORE_PEERS=nmap scripts/peers.sh
go test ./internal/interop -run 'TestCompareTools$' -timeout 60m -compare "$PWD/docs/comparison.md"
