package interop

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The KDC of GNU Shishi, with an empty realm. It and its client know no port
// but that of Kerberos, so each takes a loopback address of its own instead.
//
//	client -- kerberos, RFC 6251 --> shishid (GnuTLS)

type shishi struct {
	*server
	Kerberos string // address
}

func startShishi(t testing.TB) *shishi {
	t.Helper()
	const program = "/usr/sbin/shishid"
	s := &shishi{server: newServer(t, "shishid", program)}
	host := loopback()
	s.Kerberos = host + ":88"
	cert, key := s.certify(t, good)
	conf := s.write(t, "shishi.conf", "default-realm="+realm+"\n", 0o644)
	s.run(t, "root", []string{s.Kerberos}, program, "-c", conf, "-l", "IPv4:"+host+":kerberos/tcp", "--x509certfile="+cert, "--x509keyfile="+key)
	return s
}

const realm = "EXAMPLE.TEST"

// loopback returns a random address of the loopback network.
func loopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
}
