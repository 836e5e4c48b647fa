# postgresql required openssl version
printf 'x %s %s\n' "$3" "$4" | exec openssl s_client -quiet -verify_return_error -verify_hostname "$1" -CAfile "$5" -starttls postgres -connect "$1:$2"
