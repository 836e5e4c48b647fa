# sieve required gnutls-cli --version
printf 'x %s %s\r\nLOGOUT\r\n' "$3" "$4" | exec gnutls-cli --starttls-proto=sieve --x509cafile="$5" -p "$2" "$1"
