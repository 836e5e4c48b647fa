# submission required curl --version
printf 'Subject: x\r\n\r\ny\r\n' | exec curl -sS -m 15 --ssl-reqd --cacert "$5" -u "$3:$4" --mail-from a@example.test --mail-rcpt b@example.test -T - "smtp://$1:$2/"
