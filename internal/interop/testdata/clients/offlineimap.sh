# imap required offlineimap --version
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT; export HOME=$home
printf '[general]\naccounts=a\nmetadata=%s/m\nui=basic\nsocktimeout=10\nmaxsyncaccounts=1\n[Account a]\nlocalrepository=l\nremoterepository=r\n[Repository l]\ntype=Maildir\nlocalfolders=%s/mail\n[Repository r]\ntype=IMAP\nremotehost=%s\nremoteport=%s\nremoteuser=%s\nremotepass=%s\nssl=no\nstarttls=yes\nsslcacertfile=%s\n' "$home" "$home" "$1" "$2" "$3" "$4" "$5" >"$home/rc"
offlineimap -c "$home/rc" -o -1
