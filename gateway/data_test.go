package gateway

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// ftpBackend is an FTP server with TLS whose data connections must resume the
// session of the control connection, and say "hello".
func ftpBackend(t *testing.T, cfg *tls.Config) *backend {
	return serveBackend(t, func(nc net.Conn) {
		c, err := starttls.Server(t.Context(), nc, protocol.FTP, &starttls.Config{ServerName: testName, TLS: cfg})
		if err != nil {
			return
		}
		w := c.Wire(t.Context())
		defer w.Release()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return
		}
		defer l.Close()
		for {
			line, err := w.ReadLine()
			switch {
			case err != nil:
				return
			case line == "EPSV":
				w.WriteLine(fmt.Sprintf("229 Here (|||%d|)", l.Addr().(*net.TCPAddr).Port))
			case line == "LIST":
				w.WriteLine("150 It comes")
				data, err := l.Accept()
				if err != nil {
					return
				}
				tc := tls.Server(data, cfg)
				if err := tc.Handshake(); err == nil && tc.ConnectionState().DidResume {
					io.WriteString(tc, "hello")
					tc.Close()
				}
				data.Close()
				w.WriteLine("226 Done")
			default:
				w.WriteLine("200 OK")
			}
		}
	})
}

// Data connections to the backend resume the session of the control connection
// that they belong to, each of them.
func TestDataResumes(t *testing.T) {
	ca := newPKI(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		b := ftpBackend(t, &tls.Config{Certificates: []tls.Certificate{ca.pair}, MaxVersion: version})
		_, addr := start(t, Listener{Mode: "originate", Protocol: "ftp", Backend: Backend{Address: b.addr, CA: ca.root, ServerName: testName}}, quiet)
		c, err := starttls.Dial(t.Context(), addr, protocol.FTP, &starttls.Config{Mode: starttls.None})
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		w := c.Wire(t.Context())
		defer w.Release()
		for range 3 {
			must(t, w.WriteLine("EPSV"))
			reply, err := w.ReadLine()
			must(t, err)
			_, port, _ := strings.Cut(strings.TrimSuffix(reply, "|)"), "|||")
			data, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
			must(t, err)
			must(t, w.WriteLine("LIST"))
			got, err := io.ReadAll(data)
			data.Close()
			if string(got) != "hello" {
				t.Errorf("%s: a data connection was told %q, %v", tls.VersionName(version), got, err)
			}
			for _, want := range []string{"150 It comes", "226 Done"} {
				if reply, err := w.ReadLine(); reply != want {
					t.Fatalf("%q, %v", reply, err)
				}
			}
		}
	}
}
