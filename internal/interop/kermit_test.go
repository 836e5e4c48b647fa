package interop

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// C-Kermit's Internet Kermit Service, which inetd would start: one process for
// each connection. It knows one configuration file, which is laid over the
// system's in a mount namespace of its own.
//
//	client -- telnet, START_TLS --> iksd (OpenSSL)

type kermit struct {
	*server
	Telnet string // address
}

func startKermit(t testing.TB) *kermit {
	t.Helper()
	const program, system = "/usr/sbin/iksd", "/etc/kermit/iksd.conf"
	k := &kermit{server: newServer(t, "iksd", program, system, "/usr/bin/unshare")}
	cert, key := k.certify(t, good)
	conf := k.write(t, "iksd.conf", fmt.Sprintf(`set auth tls rsa-cert-file %s
set auth tls rsa-key-file %s
set auth tls verify no
set telopt /server start-tls required
set tcp reverse-dns-lookup off
set iks dbfile %s/iksd.db
`, cert, key, k.Dir), 0o644)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	k.Telnet = l.Addr().String()
	script := fmt.Sprintf("mount --bind %s %s && exec %s -A", conf, system, program)
	t.Cleanup(k.inetd(l, "/usr/bin/unshare", "-m", "/bin/sh", "-c", script))
	return k
}

// inetd serves each connection by a process of its own, whose standard input
// and output it is, until the function that it returns is called.
func (s *server) inetd(l net.Listener, argv ...string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			f, err := nc.(*net.TCPConn).File()
			nc.Close()
			if err != nil {
				continue
			}
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			cmd.Stdin, cmd.Stdout = f, f
			running.Go(func() {
				cmd.Run()
				f.Close()
			})
		}
	})
	return func() {
		l.Close()
		cancel()
		running.Wait()
	}
}

// lateTLS dials connections whose first TLS record waits: after it has said that
// TLS follows, C-Kermit throws away what has come already, as it never has from
// further off than this machine.
func lateTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &lateConn{Conn: nc}, err
}

type lateConn struct {
	net.Conn
	tls bool
}

func (c *lateConn) Write(b []byte) (int, error) {
	if !c.tls && len(b) > 0 && b[0] == 0x16 {
		c.tls = true
		time.Sleep(500 * time.Millisecond)
	}
	return c.Conn.Write(b)
}
