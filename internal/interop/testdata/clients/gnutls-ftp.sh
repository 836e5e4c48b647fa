# ftp required gnutls-cli --version
printf 'USER %s\r\nPASS %s\r\nQUIT\r\n' "$3" "$4" | exec gnutls-cli --starttls-proto=ftp --x509cafile="$5" -p "$2" "$1"
