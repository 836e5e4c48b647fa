package interop

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ProFTPD with mod_tls: one user in a password file of its own, whose home
// holds hello.txt.
//
//	client -- ftp, AUTH TLS; passive data connections --> ProFTPD

type proftpdOptions struct {
	Certificate    certificate
	NoTLS          bool // no mod_tls: AUTH is refused
	OptionalTLS    bool // TLSRequired off
	OnlyControlTLS bool // TLSRequired ctrl: data may go in clear
}

type proftpd struct {
	*server
	FTP string // address; the user is account with password
}

func startProFTPD(t testing.TB, o proftpdOptions) *proftpd {
	t.Helper()
	const program, modules = "/usr/sbin/proftpd", "/usr/lib/proftpd"
	f := &proftpd{server: newServer(t, "proftpd", program, modules+"/mod_tls.so"), FTP: freeAddr(t)}
	hash, err := exec.Command("openssl", "passwd", "-6", password).Output()
	check(t, err)
	home := f.mkdir(t, "home")
	f.write(t, "home/hello.txt", "hello\n", 0o644)
	id := credential(t, "proftpd")
	f.write(t, "users", fmt.Sprintf("%s:%s:%d:%d::%s:/bin/false\n", account, strings.TrimSpace(string(hash)), id.Uid, id.Gid, home), 0o600)
	f.prepare(t, "root", "", "/bin/chown", "-R", fmt.Sprintf("%d:%d", id.Uid, id.Gid), home)
	conf := f.write(t, "proftpd.conf", f.config()+f.tls(t, modules, o), 0o644)
	f.run(t, "root", []string{f.FTP}, program, "-n", "-c", conf)
	return f
}

func (f *proftpd) config() string {
	return fmt.Sprintf(`ServerType standalone
ServerName %[1]q
DefaultAddress 127.0.0.1
SocketBindTight on
Port %[2]s
UseIPv6 off
UseReverseDNS off
User proftpd
Group nogroup
PidFile %[3]s/pid
ScoreboardFile %[3]s/scoreboard
SystemLog %[3]s/system.log
TransferLog none
WtmpLog off
DelayEngine off
RequireValidShell off
AuthOrder mod_auth_file.c
AuthUserFile %[4]s
DefaultRoot ~
AllowOverwrite on
`, serverName, portOf(f.FTP), f.Dir, filepath.Join(f.Dir, "users"))
}

func (f *proftpd) tls(t testing.TB, modules string, o proftpdOptions) string {
	t.Helper()
	if o.NoTLS {
		return ""
	}
	cert, key := f.certify(t, o.Certificate)
	required := "on"
	switch {
	case o.OptionalTLS:
		required = "off"
	case o.OnlyControlTLS:
		required = "ctrl"
	}
	return fmt.Sprintf(`ModulePath %s
LoadModule mod_tls.c
TLSEngine on
TLSLog %s/tls.log
TLSECCertificateFile %s
TLSECCertificateKeyFile %s
TLSVerifyClient off
TLSRequired %s
`, modules, f.Dir, cert, key, required)
}
