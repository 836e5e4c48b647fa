package interop

import (
	"fmt"
	"testing"
)

// xrdp that negotiates TLS and nothing less.
//
//	client -- rdp, X.224 negotiation --> xrdp (OpenSSL)

type xrdp struct {
	*server
	RDP string // address
}

func startXRDP(t testing.TB) *xrdp {
	t.Helper()
	const program = "/usr/sbin/xrdp"
	x := &xrdp{server: newServer(t, "xrdp", program), RDP: freeAddr(t)}
	cert, key := x.certify(t, good)
	conf := x.write(t, "xrdp.ini", fmt.Sprintf(`[Globals]
ini_version=1
port=tcp://127.0.0.1:%s
security_layer=tls
crypt_level=high
certificate=%s
key_file=%s
ssl_protocols=TLSv1.2, TLSv1.3
max_bpp=32
allow_channels=true
[Logging]
LogFile=%s/xrdp.log
LogLevel=INFO
EnableSyslog=false
[Xorg]
name=Xorg
lib=libxup.so
username=ask
password=ask
ip=127.0.0.1
port=-1
code=20
`, portOf(x.RDP), cert, key, x.Dir), 0o644)
	x.run(t, "root", []string{x.RDP}, program, "--nodaemon", "--config", conf)
	return x
}
