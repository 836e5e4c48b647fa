# xmpp-client required openssl version
printf '<x>%s %s</x>' "$3" "$4" | exec openssl s_client -quiet -verify_return_error -verify_hostname "$1" -CAfile "$5" -starttls xmpp -name "$1" -connect "$1:$2"
