# submission required swaks --version
exec swaks --server "$1:$2" --tls --tls-verify --tls-ca-path "$5" --auth PLAIN --auth-user "$3" --auth-password "$4" --from a@example.test --to b@example.test --timeout 10
