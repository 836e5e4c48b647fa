package interop

import (
	"fmt"
	"strings"
	"testing"
)

// Cyrus IMAP: its master and the servers of seven protocols, some of them
// unpacked beside the system's Dovecot. It has no mailboxes and no accounts.
//
//	client -- imap, pop3, lmtp, sieve, nntp, mupdate, http --> Cyrus (OpenSSL)

type cyrus struct {
	*server
	IMAP, POP3, LMTP, Sieve, NNTP, MUPDATE, HTTP string // addresses
}

func startCyrus(t testing.TB) *cyrus {
	t.Helper()
	const lib = "/usr/lib/cyrus/bin/"
	c := new(cyrus)
	services := []struct {
		addr          *string
		program, args string
	}{
		{&c.IMAP, unpacked("cyrus-imapd", lib+"imapd"), ""},
		{&c.POP3, unpacked("cyrus-pop3d", lib+"pop3d"), ""},
		{&c.LMTP, lib + "lmtpd", ""},
		{&c.Sieve, lib + "timsieved", ""},
		{&c.NNTP, unpacked("cyrus-nntpd", lib+"nntpd"), ""},
		{&c.HTTP, lib + "httpd", ""},
		{&c.MUPDATE, unpacked("cyrus-murder", lib+"mupdate"), " -m"}, // -m: the master of the murder
	}
	programs := []string{lib + "master"}
	for _, s := range services {
		programs = append(programs, s.program)
	}
	c.server = newServer(t, "cyrus", programs...)
	var addrs []string
	var conf strings.Builder
	conf.WriteString("START {\n}\nSERVICES {\n")
	for i, s := range services {
		*s.addr = freeAddr(t)
		addrs = append(addrs, *s.addr)
		fmt.Fprintf(&conf, "  s%d cmd=\"%s%s -C %s/imapd.conf\" listen=%q prefork=1\n", i, s.program, s.args, c.Dir, *s.addr)
	}
	conf.WriteString("}\nEVENTS {\n}\n")
	master := c.write(t, "cyrus.conf", conf.String(), 0o644)
	imapd := c.write(t, "imapd.conf", c.config(t), 0o644)
	for _, dir := range []string{"socket", "db", "proc", "lock", "spool"} {
		c.mkdir(t, dir)
	}
	c.giveTo(t, "cyrus")
	c.run(t, "cyrus", addrs, lib+"master", "-D", "-M", master, "-C", imapd, "-p", c.Dir+"/master.pid")
	return c
}

func (c *cyrus) config(t testing.TB) string {
	t.Helper()
	cert, key := c.certify(t, good)
	return fmt.Sprintf(`configdirectory: %[1]s
partition-default: %[1]s/spool
sievedir: %[1]s/spool
servername: %[2]s
cyrus_user: cyrus
admins: cyrus
allowplaintext: no
sasl_mech_list: PLAIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: %[1]s/sasldb2
tls_server_cert: %[3]s
tls_server_key: %[4]s
tls_versions: tls1_2 tls1_3
`, c.Dir, serverName, cert, key)
}
