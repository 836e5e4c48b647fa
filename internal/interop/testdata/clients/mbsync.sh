# imap required mbsync --version
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT; export HOME=$home
printf 'IMAPAccount x\nHost %s\nPort %s\nUser %s\nPass %s\nTimeout 10\nSSLType STARTTLS\nSystemCertificates no\nCertificateFile %s\n\nIMAPStore r\nAccount x\n\nMaildirStore l\nPath %s/\nInbox %s/INBOX\n\nChannel c\nFar :r:\nNear :l:\nPatterns INBOX\nCreate Near\n' "$1" "$2" "$3" "$4" "$5" "$home" "$home" >"$home/rc"
mbsync -c "$home/rc" -V c
