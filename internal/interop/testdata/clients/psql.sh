# postgresql required psql --version
export PGPASSWORD=$4 PGCONNECT_TIMEOUT=10
exec psql "host=$1 port=$2 sslmode=verify-full sslrootcert=$5 user=$3 dbname=x" -c 'select 1'
