# imap required neomutt -v
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT; export HOME=$home TERM=dumb
printf 'set imap_user="%s"\nset imap_pass="%s"\nset folder="imap://%s:%s/"\nset spoolfile="imap://%s:%s/INBOX"\nset ssl_force_tls=yes\nset ssl_starttls=yes\nset ssl_ca_certificates_file="%s"\nset ssl_verify_host=yes\nset connect_timeout=10\nmailboxes "imap://%s:%s/INBOX"\n' "$3" "$4" "$1" "$2" "$1" "$2" "$5" "$1" "$2" >"$home/rc"
neomutt -n -F "$home/rc" -Z
