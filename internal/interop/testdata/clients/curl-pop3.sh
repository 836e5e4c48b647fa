# pop3 required curl --version
exec curl -sS -m 15 --ssl-reqd --cacert "$5" -u "$3:$4" "pop3://$1:$2/"
