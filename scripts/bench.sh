#!/usr/bin/env bash
# The measurements of docs/performance.md. They assert nothing; run them on a
# quiet machine and read the ratios.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "## upgrade against bare TLS, both ends in one process, pairs in turn"
go test ./bench -run TestTable -table -rounds "${ROUNDS:-15}" -batch 100 -v -count=1 | grep -vE '^(===|---|PASS|ok)'

echo
echo "## gateway beside stunnel, nginx mail and ghostunnel, where they are installed: it on one core, its clients and its backend on the other"
ulimit -n "$(ulimit -Hn)" # a gateway has two files for each session
go test -c -o /tmp/starttls-bench.test ./bench
(cd bench && taskset -c 1 /tmp/starttls-bench.test -test.run TestGateways -test.timeout 60m -gateways -rounds 9 -idlers "${IDLERS:-9900}" | grep -vE '^(===|---|PASS|ok)')
rm -f /tmp/starttls-bench.test

echo
echo "## check of one loopback SMTP server, whole process, in pairs with others"
go test ./bench -run TestProcesses -processes -pairs "${PAIRS:-100}" -v -count=1 -timeout 30m | grep -vE '^(===|---|PASS|ok)'

echo
echo "## what every command pays for at its start: the packages that take longest to initialise, the best of ten starts"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
CGO_ENABLED=0 go build -o "$dir/starttls" ./cmd/starttls
for _ in $(seq 10); do GODEBUG=inittrace=1 "$dir/starttls" version 2>&1 >/dev/null; done |
	awk '/^init / { if (!($2 in ms) || $5 < ms[$2]) ms[$2] = $5; bytes[$2] = $8 }
		END { for (p in ms) { printf "%.3f ms %7d bytes  %s\n", ms[p], bytes[p], p; all += ms[p] }; printf "%.3f ms in all\n", all }' |
	sort -rn | head -12

echo
echo "## check, beside testssl.sh and sslscan: one loopback Postfix, whole processes in turn; testssl.sh once, ten minutes at most"
go test ./internal/interop -run 'TestMeasureCheck$' -measure -timeout 20m -v -count=1 | grep -vE '^(===|---|PASS|ok)'
