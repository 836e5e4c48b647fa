# nntp required gnutls-cli --version
printf 'AUTHINFO USER %s\r\nAUTHINFO PASS %s\r\nQUIT\r\n' "$3" "$4" | exec gnutls-cli --starttls-proto=nntp --x509cafile="$5" -p "$2" "$1"
