# imap required mutt -v
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT; export HOME=$home TERM=vt100
printf 'set imap_user="%s"\nset imap_pass="%s"\nset folder="imap://%s:%s/"\nset spoolfile="imap://%s:%s/INBOX"\nset ssl_force_tls=yes\nset ssl_starttls=yes\nset ssl_ca_certificates_file="%s"\nset ssl_verify_host=yes\nset connect_timeout=10\npush "<quit>y"\n' "$3" "$4" "$1" "$2" "$1" "$2" "$5" >"$home/rc"
script -qec "mutt -n -F $home/rc -f imap://$1:$2/INBOX" /dev/null </dev/null
