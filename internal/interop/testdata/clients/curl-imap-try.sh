# imap opportunistic curl --version
exec curl -sS -m 15 --ssl -k -u "$3:$4" "imap://$1:$2/"
