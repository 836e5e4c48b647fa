# imap required openssl version
printf 'a LOGIN %s %s\r\nb LOGOUT\r\n' "$3" "$4" | exec openssl s_client -quiet -verify_return_error -verify_hostname "$1" -CAfile "$5" -starttls imap -connect "$1:$2"
