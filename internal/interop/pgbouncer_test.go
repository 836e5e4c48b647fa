package interop

import (
	"fmt"
	"testing"
)

// PgBouncer, a pool in front of no database.
//
//	client -- SSLRequest --> pgbouncer (OpenSSL)

type pgbouncer struct {
	*server
	Postgres string // address
}

func startPgBouncer(t testing.TB) *pgbouncer {
	t.Helper()
	const program = "/usr/sbin/pgbouncer"
	p := &pgbouncer{server: newServer(t, "pgbouncer", program), Postgres: freeAddr(t)}
	cert, key := p.certify(t, good)
	p.write(t, "users.txt", "", 0o644)
	conf := p.write(t, "pgbouncer.ini", fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s/users.txt
client_tls_sslmode = require
client_tls_cert_file = %s
client_tls_key_file = %s
`, portOf(p.Postgres), p.Dir, cert, key), 0o644)
	p.giveTo(t, "nobody") // it refuses to be root
	p.run(t, "nobody", []string{p.Postgres}, program, conf)
	return p
}
