# xmpp-client required gnutls-cli --version
printf '<x>%s %s</x>' "$3" "$4" | exec gnutls-cli --starttls-proto=xmpp --x509cafile="$5" -p "$2" "$1"
