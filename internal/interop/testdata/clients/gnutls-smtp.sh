# submission required gnutls-cli --version
printf 'EHLO client.example.test\r\nQUIT\r\n' | exec gnutls-cli --starttls-proto=smtp --x509cafile="$5" -p "$2" "$1"
