# nntp required openssl version
printf 'AUTHINFO USER %s\r\nAUTHINFO PASS %s\r\nQUIT\r\n' "$3" "$4" | exec openssl s_client -quiet -verify_return_error -verify_hostname "$1" -CAfile "$5" -starttls nntp -connect "$1:$2"
