package interop

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// PostgreSQL: one cluster, one role with a SCRAM password, and pg_hba.conf
// with hostssl lines alone, so that clear sign-ins are refused.
//
//	client -- SSLRequest --> PostgreSQL

type postgresqlOptions struct {
	Certificate certificate
	NoTLS       bool // ssl=off: SSLRequest is answered N, clear sign-ins are let in
}

type postgresql struct {
	*server
	Postgres string // address; the role is account with password, its database postgres
}

func startPostgreSQL(t testing.TB, o postgresqlOptions) *postgresql {
	t.Helper()
	bin := postgresBin()
	p := &postgresql{server: newServer(t, "postgresql", bin+"/postgres", bin+"/initdb"), Postgres: freeAddr(t)}
	p.end = syscall.SIGQUIT // at once; what it holds is thrown away
	line := "hostssl all all 127.0.0.1/32 scram-sha-256\n"
	ssl := "ssl = off\n"
	if o.NoTLS {
		line = "host all all 127.0.0.1/32 scram-sha-256\n"
	} else {
		cert, key := p.certify(t, o.Certificate)
		ssl = fmt.Sprintf("ssl = on\nssl_cert_file = '%s'\nssl_key_file = '%s'\n", cert, key)
	}
	p.giveTo(t, "postgres") // it refuses to be root
	data := filepath.Join(p.Dir, "data")
	p.prepare(t, "postgres", "", bin+"/initdb", "-D", data, "-N", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "--pwfile="+p.superPassword(t))
	conf := p.write(t, "postgresql.conf", p.config(data)+ssl, 0o644)
	p.write(t, "data/pg_hba.conf", line, 0o644)
	// The one-user mode of the server makes the role before anybody can connect.
	p.prepare(t, "postgres", fmt.Sprintf("CREATE ROLE %q LOGIN PASSWORD '%s'\n", account, password),
		bin+"/postgres", "--single", "-D", data, "-c", "config_file="+conf, "postgres")
	p.run(t, "postgres", []string{p.Postgres}, bin+"/postgres", "-c", "config_file="+conf)
	p.await(t, "be ready", func() bool { return strings.Contains(p.logs(), "ready to accept connections") })
	return p
}

func (p *postgresql) superPassword(t testing.TB) string {
	return p.write(t, "superuser", password+"\n", 0o644)
}

func (p *postgresql) config(data string) string {
	return fmt.Sprintf(`data_directory = '%[1]s'
hba_file = '%[1]s/pg_hba.conf'
ident_file = '%[1]s/pg_ident.conf'
listen_addresses = '127.0.0.1'
port = %[2]s
unix_socket_directories = '%[3]s'
fsync = off
shared_buffers = 1MB
max_connections = 30
log_hostname = off
log_connections = on
`, data, portOf(p.Postgres), p.Dir)
}

// postgresBin is the newest installed version's folder; Debian keeps them apart.
func postgresBin() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		return "/usr/lib/postgresql/bin"
	}
	return slices.Max(found)
}
