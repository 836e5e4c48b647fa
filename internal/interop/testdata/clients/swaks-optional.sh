# submission opportunistic swaks --version
exec swaks --server "$1:$2" --tls-optional --auth PLAIN --auth-user "$3" --auth-password "$4" --from a@example.test --to b@example.test --timeout 10
