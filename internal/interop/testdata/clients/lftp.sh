# ftp required lftp --version
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT; export HOME=$home
lftp -e "set ftp:ssl-force true; set ftp:ssl-protect-data true; set ssl:ca-file $5; set net:max-retries 1; set net:timeout 5; set net:reconnect-interval-base 1; ls; quit" -u "$3,$4" "ftp://$1:$2"
