#!/usr/bin/env bash
# Fuzzes every target of the module for a short time each.
#   scripts/fuzz.sh [TIME]     TIME as go test -fuzztime takes it; 2s by default
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-2s}
# once fuzzes one target. It gives 1, to be tried again, where the time ran out
# while an input was being minimised, which go test calls a failure.
once() {
	local out
	if out=$(go test -run '^$' -fuzz "^$1\$" -fuzztime "$time" "$2" 2>&1); then
		tail -n 1 <<<"$out"
	elif grep -q 'deadline exceeded' <<<"$out" && ! grep -q 'Failing input' <<<"$out"; then
		return 1
	else
		printf '%s\n' "$out" >&2
		exit 1
	fi
}

found=0
for pkg in $(go list ./...); do
	targets=$(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true)
	for target in $targets; do
		found=$((found + 1))
		echo "fuzz $pkg $target for $time"
		once "$target" "$pkg" || once "$target" "$pkg"
	done
done
if [ "$found" = 0 ]; then
	echo "no fuzz target found" >&2
	exit 1
fi
echo "$found fuzz targets, none failed"
