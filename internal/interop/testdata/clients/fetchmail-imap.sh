# imap required fetchmail --version 2>/dev/null
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT; export HOME=$home
printf 'poll %s service %s proto imap timeout 10 user "%s" password "%s" is root here sslproto "TLS1.2+" sslcertck sslcertfile "%s"\n' "$1" "$2" "$3" "$4" "$5" >"$home/rc"
chmod 600 "$home/rc"
fetchmail -f "$home/rc" --nodetach --nosyslog --mda /bin/cat -v --pidfile "$home/pid"
