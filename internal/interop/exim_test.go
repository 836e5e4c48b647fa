package interop

import (
	"fmt"
	"os"
	"testing"
)

// Exim, unpacked beside the system's Postfix; every message is thrown away.
//
//	client -- smtp, submission --> exim4 (GnuTLS)

type exim struct {
	*server
	SMTP string // address
}

func startExim(t testing.TB) *exim {
	t.Helper()
	program := unpacked("exim4-daemon-light", "/usr/sbin/exim4")
	e := &exim{server: newServer(t, "exim4", program), SMTP: freeAddr(t)}
	cert, key := e.certify(t, good)
	e.mkdir(t, "spool")
	conf := e.write(t, "exim.conf", fmt.Sprintf(`exim_path = %[4]s
exim_user = mail
exim_group = mail
keep_environment =
spool_directory = %[1]s/spool
log_file_path = %[1]s/%%s.log
pid_file_path =
primary_hostname = %[2]s
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[3]s
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts = *
tls_certificate = %[5]s
tls_privatekey = %[6]s
acl_smtp_rcpt = accept
begin routers
all:
  driver = accept
  transport = discard
begin transports
discard:
  driver = appendfile
  file = /dev/null
`, e.Dir, serverName, portOf(e.SMTP), program, cert, key), 0o644)
	e.giveTo(t, "mail")
	check(t, os.Chown(conf, 0, 0)) // it obeys only a configuration of root's
	e.run(t, "root", []string{e.SMTP}, program, "-C", conf, "-bdf")
	return e
}
