# lmtp required openssl version
exec openssl s_client -quiet -verify_return_error -verify_hostname "$1" -CAfile "$5" -starttls lmtp -connect "$1:$2"
