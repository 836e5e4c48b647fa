# mysql required mariadb --version
exec mariadb --protocol=TCP --connect-timeout=10 -h "$1" -P "$2" -u "$3" "-p$4" --ssl-ca="$5" --ssl-verify-server-cert -e 'select 1'
