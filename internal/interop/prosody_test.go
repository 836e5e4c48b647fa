package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Prosody: one virtual host, example.test, with one account, its password
// kept as it is in a file.
//
//	client -- c2s --> Prosody <-- s2s -- server

type prosodyOptions struct {
	Certificate certificate
	NoTLS       bool // module tls is not loaded: nothing is offered, clear passwords are let in
}

type prosody struct {
	*server
	C2S, S2S string // addresses; the domain is domain, the account account with password
}

func startProsody(t testing.TB, o prosodyOptions) *prosody {
	t.Helper()
	const program = "/usr/bin/prosody"
	p := &prosody{server: newServer(t, "prosody", program)}
	p.C2S, p.S2S = freeAddr(t), freeAddr(t)
	conf := p.write(t, "prosody.cfg.lua", p.config(t, o), 0o644)
	accounts := p.mkdir(t, "data/"+strings.ReplaceAll(domain, ".", "%2e")+"/accounts")
	entry := fmt.Sprintf("return { [%q] = %q };\n", "password", password)
	check(t, os.WriteFile(filepath.Join(accounts, account+".dat"), []byte(entry), 0o600))
	p.giveTo(t, "prosody") // it refuses to be root
	p.run(t, "prosody", []string{p.C2S, p.S2S}, program, "--config", conf, "-F")
	return p
}

func (p *prosody) config(t testing.TB, o prosodyOptions) string {
	t.Helper()
	tls, ssl := "", ""
	if !o.NoTLS {
		cert, key := p.certify(t, o.Certificate)
		tls, ssl = `"tls"; `, fmt.Sprintf("ssl = { certificate = %q; key = %q }\n", cert, key)
	}
	return fmt.Sprintf(`pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s/data"
log = { debug = "%[1]s/prosody.log" }
interfaces = { "127.0.0.1" }
c2s_ports = { %[2]s }
s2s_ports = { %[3]s }
c2s_direct_tls_ports = { }
s2s_direct_tls_ports = { }
http_ports = { }
https_ports = { }
modules_enabled = { %[4]s"saslauth"; "roster"; "disco"; "dialback"; "ping" }
modules_disabled = { "http" }
authentication = "internal_plain"
c2s_require_encryption = %[5]t
s2s_require_encryption = %[5]t
s2s_secure_auth = false
allow_unencrypted_plain_auth = not %[5]t
%[6]sVirtualHost "%[7]s"
`, p.Dir, portOf(p.C2S), portOf(p.S2S), tls, !o.NoTLS, ssl, domain)
}
