# postgresql opportunistic psql --version
export PGPASSWORD=$4 PGCONNECT_TIMEOUT=10
exec psql "host=$1 port=$2 sslmode=prefer user=$3 dbname=x" -c 'select 1'
