#!/usr/bin/env bash
# Fuzzes every target of the module for a short time each.
#   scripts/fuzz.sh [TIME]     TIME as go test -fuzztime takes it; 2s by default
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-2s}
found=0
for pkg in $(go list ./...); do
	targets=$(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true)
	for target in $targets; do
		found=$((found + 1))
		echo "fuzz $pkg $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$pkg" | tail -n 1
	done
done
if [ "$found" = 0 ]; then
	echo "no fuzz target found" >&2
	exit 1
fi
echo "$found fuzz targets, none failed"
