#!/usr/bin/env bash
# Has every client there is meet every case of the lab, and prints what came of
# it into docs/clients.md. Those that npm gives, and Exim, which Debian does not
# install beside Postfix, are unpacked into a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
npm=
command -v npm >/dev/null || npm="nodejs npm" # some packages of nodejs have npm in them, and conflict with Debian's
MORE_PEERS="msmtp mutt neomutt fetchmail offlineimap3 $npm" scripts/peers.sh
tmp=$(mktemp -d)
chmod 755 "$tmp" # Exim starts itself anew as another user
trap 'rm -rf "$tmp"' EXIT
npm install --silent --no-audit --no-fund --prefix "$tmp" nodemailer imapflow
(cd "$tmp" && apt-get download exim4-daemon-light >/dev/null && dpkg -x exim4-daemon-light_*.deb exim)
EXIM=$tmp/exim/usr/sbin/exim4 NODE_PATH=$tmp/node_modules \
	go test ./internal/interop -run TestLabClients -timeout 60m -clients "$PWD/docs/clients.md"
