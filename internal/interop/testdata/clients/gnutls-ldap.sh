# ldap required gnutls-cli --version
printf 'x %s %s\n' "$3" "$4" | exec gnutls-cli --starttls-proto=ldap --x509cafile="$5" -p "$2" "$1"
