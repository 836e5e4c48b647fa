# lmtp required gnutls-cli --version
printf 'x %s %s\r\nQUIT\r\n' "$3" "$4" | exec gnutls-cli --starttls-proto=lmtp --x509cafile="$5" -p "$2" "$1"
