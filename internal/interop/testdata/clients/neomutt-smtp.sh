# submission required neomutt -v
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT; export HOME=$home
printf 'set smtp_url="smtp://%s:%s@%s:%s/"\nset ssl_force_tls=yes\nset ssl_starttls=yes\nset ssl_ca_certificates_file="%s"\nset ssl_verify_host=yes\nset from=a@example.test\nset copy=no\nset connect_timeout=10\n' "$3" "$4" "$1" "$2" "$5" >"$home/rc"
echo y | neomutt -n -F "$home/rc" -s x b@example.test
