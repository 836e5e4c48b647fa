#!/usr/bin/env bash
# Installs the real servers and clients that the interop tests meet: Debian's
# packages and a few of npm's, as root. No daemon is started by it. What is
# there already is left alone.
#   scripts/peers.sh            install what is missing
# MORE_PEERS names further packages.
#   scripts/peers.sh --check    only name what is missing; exit 1 if anything is
set -euo pipefail

servers="postfix dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-managesieved dovecot-sieve
	slapd prosody proftpd-core proftpd-mod-crypto inn2 inspircd postgresql mariadb-server
	nats-server nbdkit cups-daemon tigervnc-standalone-server xrdp unbound
	ckermit cyrus-common cyrus-caldav nut-server pgbouncer qemu-utils shishi-kdc"
clients="openssl gnutls-bin swaks curl sslscan testssl.sh ldap-utils postgresql-client mariadb-client lftp libnbd-bin cups-client freetds-bin bacula-console
	cyrus-clients freerdp2-x11 go-sendxmpp gvncviewer irssi isync libnss3-tools nut-client postfix-mta-sts-resolver shishi sieve-connect stunnel4 xvfb xauth ${MORE_PEERS:-}"

# Packages that conflict with one of those above are unpacked beside the system,
# each into a folder of its own, with the libraries they need installed.
unpacked="cyrus-imapd cyrus-murder cyrus-nntpd cyrus-pop3d exim4-daemon-light pure-ftpd vsftpd"
beside=/var/cache/starttls-peers

modules="@mysql/xdevapi@8.0.35" # for Node.js

missing=()
for p in $servers $clients; do
	state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null || true)
	[ "${state:0:2}" = ii ] || missing+=("$p")
done
command -v npm >/dev/null || missing+=(nodejs npm)
modules_missing=()
for m in $modules; do
	npm ls --global --depth 0 "$m" >/dev/null 2>&1 || modules_missing+=("$m")
done
unpacked_missing=()
for p in $unpacked; do
	[ -d "$beside/$p" ] || unpacked_missing+=("$p")
done
if [ ${#missing[@]} = 0 ] && [ ${#modules_missing[@]} = 0 ] && [ ${#unpacked_missing[@]} = 0 ]; then
	echo "peers: all installed"
	exit 0
fi
echo "peers: missing: ${missing[*]} ${modules_missing[*]} ${unpacked_missing[*]}"
if [ "${1:-}" = --check ]; then
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "peers: run this as root to install them; without them the tests that need them are skipped" >&2
	exit 1
fi

# libraries names those that packages depend on.
libraries() {
	[ $# = 0 ] || apt-cache show --no-all-versions "$@" | sed -n 's/^Depends: //p' | tr ',' '\n' | grep -oE '^ *lib[^ |]+' | sort -u
}

# Packages start their daemons on installation unless this says no (101).
policy=/usr/sbin/policy-rc.d
saved=
if [ -e "$policy" ]; then
	saved=$(mktemp)
	cp -p "$policy" "$saved"
fi
restore() {
	if [ -n "$saved" ]; then cp -p "$saved" "$policy" && rm -f "$saved"; else rm -f "$policy"; fi
}
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# inn2 configures itself only where the machine has a domain name; lend it one.
INNCONF=$(mktemp)
export INNCONF
printf 'domain: example.test\npathhost: news.example.test\nmta: "/bin/false"\npathnews: /usr/lib/news\npathdb: /var/lib/news\nhismethod: hisv6\nenableoverview: false\n' >"$INNCONF"
chmod 644 "$INNCONF"
if [ ${#missing[@]} -gt 0 ] || [ ${#unpacked_missing[@]} -gt 0 ]; then
	echo "peers: installing packages with apt-get, ${#missing[@]} and ${#unpacked_missing[@]} beside the system, two minutes or so"
	if ! { apt-get update && apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
		-o Dpkg::Options::=--force-confdef "${missing[@]}" $(libraries "${unpacked_missing[@]}"); } >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		echo "peers: apt-get failed; its output is in $log" >&2
		exit 1
	fi
fi
for p in "${unpacked_missing[@]}"; do
	new=$(mktemp -d)
	chmod 755 "$new"
	if ! { (cd "$new" && apt-get download "$p" && dpkg-deb -R "$p"_*.deb root) && mkdir -p "$beside" && mv "$new/root" "$beside/$p"; } >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		echo "peers: $p could not be unpacked into $beside; the output is in $log" >&2
		exit 1
	fi
	rm -rf "$new"
done
# Exim insists on the user that its package would make.
id -u Debian-exim >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin Debian-exim
if [ ${#modules_missing[@]} -gt 0 ] && ! npm install --global --ignore-scripts --no-audit --no-fund "${modules_missing[@]}" >"$log" 2>&1; then
	tail -n 40 "$log" >&2
	echo "peers: npm failed; its output is in $log" >&2
	exit 1
fi
rm -f "$log" "$INNCONF"
echo "peers: done"
