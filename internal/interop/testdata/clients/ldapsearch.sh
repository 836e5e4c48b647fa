# ldap required ldapsearch -VV
export LDAPTLS_CACERT=$5 LDAPTLS_REQCERT=demand
exec ldapsearch -ZZ -x -o nettimeout=10 -D "cn=$3" -w "$4" -H "ldap://$1:$2" -b dc=example -s base
