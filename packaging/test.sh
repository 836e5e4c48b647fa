#!/usr/bin/env bash
# Builds the Debian package, looks into it, and runs what is in it from a folder
# of its own: nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v dpkg-deb >/dev/null || { echo "package: not tested, there is no dpkg-deb here" && exit 0; }
deb=$(packaging/build.sh)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root
failed=0

# check reports a failure under that name unless the command succeeds.
check() {
	local name=$1
	shift
	if ! "$@" >"$tmp/out" 2>&1; then
		failed=$((failed + 1))
		echo "package: $name" >&2
		cat "$tmp/out" >&2
	fi
}

has() { [ "$(dpkg-deb --field "$deb" "$1")" = "$2" ]; }
check "not of this machine's kind" has Architecture "$(dpkg --print-architecture)"
check "does not see to the unit's group" has Depends ssl-cert

dpkg-deb --contents "$deb" >"$tmp/contents"
listed() { grep -qE "^$1 root/root .* \./$2\$" "$tmp/contents"; }
for file in lib/systemd/system/starttls-gateway.service etc/starttls/gateway.toml usr/share/man/man1/starttls-gateway.1.gz \
	usr/share/bash-completion/completions/starttls usr/share/zsh/vendor-completions/_starttls \
	usr/share/fish/vendor_completions.d/starttls.fish usr/share/doc/starttls/copyright usr/share/doc/starttls/modules.gz; do
	check "$file is missing, or not root's alone to write" listed -rw-r--r-- "$file"
done
check "the command is missing" listed -rwxr-xr-x usr/bin/starttls
dpkg-deb --control "$deb" "$tmp/control"
check "other conffiles" diff "$tmp/control/conffiles" - <<</etc/starttls/gateway.toml
for script in postinst prerm postrm; do
	check "$script is no shell script" sh -n "$tmp/control/$script"
done

dpkg-deb --extract "$deb" "$root"
starttls=$root/usr/bin/starttls
check "the command does not run" "$starttls" version
check "the completions are another version's" diff "$root/usr/share/bash-completion/completions/starttls" <("$starttls" completion bash)
check "the man page is none" grep -q '^\.TH' <(gzip -dc "$root/usr/share/man/man1/starttls-gateway.1.gz")

# The configuration is an example: as it is its certificates are missing, which
# is said. With certificates it is in order.
example() { ! "$starttls" gateway -c "$1" --check-config 2>"$tmp/said" && grep -q 'mail.example.org/fullchain.pem: no such file' "$tmp/said"; }
check "the configuration has more missing than certificates" example "$root/etc/starttls/gateway.toml"
mkdir "$tmp/live"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=mail.example.org -keyout "$tmp/key.pem" -out "$tmp/cert.pem" 2>/dev/null
sed "s|/etc/ssl/mail.example.org/fullchain.pem|$tmp/cert.pem|; s|/etc/ssl/mail.example.org/privkey.pem|$tmp/key.pem|; s|/etc/ssl/clients.pem|$tmp/cert.pem|; s|/etc/letsencrypt/live|$tmp/live|" \
	"$root/etc/starttls/gateway.toml" >"$tmp/gateway.toml"
check "the configuration is not in order with certificates" "$starttls" gateway -c "$tmp/gateway.toml" --check-config

if command -v systemd-analyze >/dev/null; then
	sed "s|/usr/bin/starttls|$starttls|" "$root/lib/systemd/system/starttls-gateway.service" >"$tmp/starttls-gateway.service"
	verify() { systemd-analyze --man=no verify "$1" && [ ! -s "$tmp/out" ]; } # of what it does not understand it only warns
	check "the unit is not in order" verify "$tmp/starttls-gateway.service"
else
	echo "package: the unit is not verified, there is no systemd-analyze here"
fi
if [ "$failed" != 0 ]; then
	exit 1
fi
echo "package: in order"
