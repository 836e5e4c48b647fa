# ftp required openssl version
printf 'USER %s\r\nPASS %s\r\nQUIT\r\n' "$3" "$4" | exec openssl s_client -quiet -verify_return_error -verify_hostname "$1" -CAfile "$5" -starttls ftp -connect "$1:$2"
