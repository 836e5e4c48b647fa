# ftp required curl --version
exec curl -sS -m 15 --ssl-reqd --cacert "$5" -u "$3:$4" "ftp://$1:$2/"
