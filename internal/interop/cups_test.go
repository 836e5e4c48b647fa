package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// CUPS, which upgrades as RFC 2817 has it.
//
//	client -- http or ipp, OPTIONS * with Upgrade --> cupsd (GnuTLS)

type cups struct {
	*server
	IPP string // address
}

func startCUPS(t testing.TB) *cups {
	t.Helper()
	const program = "/usr/sbin/cupsd"
	c := &cups{server: newServer(t, "cupsd", program), IPP: freeAddr(t)}
	cert, key := c.certify(t, good)
	ssl := c.mkdir(t, "ssl")
	check(t, os.Rename(cert, filepath.Join(ssl, "localhost.crt")))
	check(t, os.Rename(key, filepath.Join(ssl, "localhost.key")))
	for _, dir := range []string{"spool", "spool/tmp", "cache", "state", "empty"} {
		c.mkdir(t, dir)
	}
	// From loopback it takes no name but localhost, whatever ServerAlias says.
	conf := c.write(t, "cupsd.conf", fmt.Sprintf(`Listen %s
ServerName localhost
DefaultEncryption IfRequested
SSLOptions MinTLS1.2
WebInterface No
Browsing No
<Location />
  Allow all
</Location>
`, c.IPP), 0o644)
	files := c.write(t, "cups-files.conf", fmt.Sprintf(`ServerRoot %[1]s
ServerKeychain %[1]s/ssl
CreateSelfSignedCerts no
RequestRoot %[1]s/spool
TempDir %[1]s/spool/tmp
CacheDir %[1]s/cache
StateDir %[1]s/state
DocumentRoot %[1]s/empty
ErrorLog stderr
AccessLog %[1]s/access.log
PageLog %[1]s/page.log
SystemGroup root
`, c.Dir), 0o644)
	c.run(t, "root", []string{c.IPP}, program, "-f", "-c", conf, "-s", files)
	return c
}
