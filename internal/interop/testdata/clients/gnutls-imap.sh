# imap required gnutls-cli --version
printf 'a LOGIN %s %s\r\nb LOGOUT\r\n' "$3" "$4" | exec gnutls-cli --starttls-proto=imap --x509cafile="$5" -p "$2" "$1"
