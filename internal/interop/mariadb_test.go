package interop

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
)

// MariaDB: one database folder and two accounts with the same password, one
// of which may sign in only inside TLS.
//
//	client -- SSLRequest --> MariaDB

type mariadbOptions struct {
	Certificate certificate
	NoTLS       bool // no certificate: CLIENT_SSL is not offered
}

type mariadb struct {
	*server
	MySQL     string // address; account (REQUIRE SSL) with password
	ClearUser string // may sign in without TLS too, with password
}

func startMariaDB(t testing.TB, o mariadbOptions) *mariadb {
	t.Helper()
	const program, install = "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db"
	m := &mariadb{server: newServer(t, "mariadb", program, install), MySQL: freeAddr(t), ClearUser: "clear"}
	m.end = syscall.SIGKILL // at once; what it holds is thrown away
	data := m.mkdir(t, "data")
	setup := m.write(t, "setup.sql", fmt.Sprintf(`CREATE USER '%[1]s'@'%%' IDENTIFIED BY '%[2]s' REQUIRE SSL;
CREATE USER '%[3]s'@'%%' IDENTIFIED BY '%[2]s';
`, account, password, m.ClearUser), 0o644)
	args := []string{program, "--no-defaults", "--datadir=" + data, "--bind-address=127.0.0.1", "--port=" + portOf(m.MySQL),
		"--socket=" + filepath.Join(m.Dir, "socket"), "--pid-file=" + filepath.Join(m.Dir, "pid"), "--init-file=" + setup,
		"--skip-name-resolve", "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0"}
	if !o.NoTLS {
		cert, key := m.certify(t, o.Certificate)
		args = append(args, "--ssl-cert="+cert, "--ssl-key="+key, "--ssl-ca="+m.CAFile)
	}
	m.giveTo(t, "mysql") // it refuses to be root
	m.prepare(t, "mysql", "", install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	m.run(t, "mysql", []string{m.MySQL}, args...)
	return m
}
