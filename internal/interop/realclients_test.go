package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"

	"github.com/emersion/go-imap/v2/imapclient"
)

// ours is our server half of a protocol with its minimal session, and what
// clients gave away in it.
type ours struct {
	addr string
	mu   sync.Mutex
	said []string // "sign-in PLAIN user"
}

// serve runs our server half of scheme until the test ends. Its certificate, of
// the tests' root, is for serverName, for domain, and for 127.0.0.1 and localhost,
// which is what clients verify that can not be told another name.
func serve(t testing.TB, scheme string, edit ...func(*starttls.Config)) *ours {
	t.Helper()
	return serveAt(t, scheme, "127.0.0.1:0", edit...)
}

// serveAt is serve at an address of one's own.
func serveAt(t testing.TB, scheme, addr string, edit ...func(*starttls.Config)) *ours {
	t.Helper()
	p, implicit, err := protocol.Lookup(scheme)
	check(t, err)
	cert, err := authority(t).CA.Issue(nil, serverName, domain, "127.0.0.1", "localhost")
	check(t, err)
	cfg := &starttls.Config{ServerName: serverName, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	if implicit {
		cfg.Mode = starttls.Implicit
	}
	for _, e := range edit {
		e(cfg)
	}
	tcp, err := net.Listen("tcp", addr)
	check(t, err)
	o := &ours{addr: tcp.Addr().String()}
	l := starttls.NewListener(tcp, p, cfg)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if nc.(*starttls.Conn).TLS() != nil {
				o.note(starttls.Leak{What: "TLS"})
			}
			go func() {
				defer nc.Close()
				w := nc.(*starttls.Conn).Wire(context.Background())
				p.(starttls.Host).Serve(w, starttls.Hello{}, o.note)
			}()
		}
	}()
	return o
}

func (o *ours) note(l starttls.Leak) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said = append(o.said, strings.TrimSpace(l.What+" "+l.Mechanism+" "+l.User))
}

func (o *ours) heard() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.said, "\n")
}

func (o *ours) port() string { return portOf(o.addr) }

func (o *ours) host() string {
	host, _, _ := net.SplitHostPort(o.addr)
	return host
}

// runClient runs a client, which must be installed, and returns what it said.
func runClient(t testing.TB, stdin string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+" is not installed: run make peers")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "HOME="+t.TempDir()), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Every protocol that openssl knows, with the certificate verified.
func TestOpenSSLOnOurServers(t *testing.T) {
	for scheme, args := range map[string]string{
		"smtp": "smtp", "submission": "smtp", "lmtp": "lmtp", "imap": "imap", "pop3": "pop3", "sieve": "sieve", "nntp": "nntp", "ftp": "ftp",
		"ldap": "ldap", "irc": "irc", "telnet": "telnet", "postgresql": "postgres", "mysql": "mysql",
		"xmpp-client": "xmpp -xmpphost " + domain, "xmpp-server": "xmpp-server -xmpphost " + domain,
	} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			meet(t, scheme, starttls.ServerSide, "OpenSSL")
			out, err := sClient(t, serve(t, scheme).addr, "-starttls "+args)
			if err != nil || !strings.Contains(out, "Verification: OK") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// Every protocol that gnutls-cli knows.
func TestGnuTLSOnOurServers(t *testing.T) {
	for scheme, name := range map[string]string{"smtp": "smtp", "lmtp": "lmtp", "imap": "imap", "pop3": "pop3", "sieve": "sieve", "nntp": "nntp", "ftp": "ftp", "ldap": "ldap", "postgresql": "postgres", "xmpp-client": "xmpp"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			meet(t, scheme, starttls.ServerSide, "GnuTLS")
			o := serve(t, scheme)
			out, err := runClient(t, "", nil, "gnutls-cli", "--starttls-proto="+name, "--x509cafile="+authority(t).File, "--verify-hostname="+serverName, "--sni-hostname="+serverName, "-p", o.port(), "127.0.0.1")
			if !strings.Contains(out, "Handshake was completed") || !strings.Contains(out, "Status: The certificate is trusted") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// Clients that sign in, each with its certificate check on.
var signInClients = []client{
	{peer: "curl", scheme: "submission", heard: "sign-in PLAIN me", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return curl(t, o, ca, "Subject: x\r\n\r\ny\r\n", "smtp", "--mail-from", "a@example.test", "--mail-rcpt", "b@example.test", "-T", "-")
	}},
	{peer: "curl", scheme: "imap", heard: "sign-in PLAIN me", run: func(t *testing.T, o *ours, ca string) (string, error) { return curl(t, o, ca, "", "imap") }},
	{peer: "curl", scheme: "pop3", heard: "sign-in PLAIN me", run: func(t *testing.T, o *ours, ca string) (string, error) { return curl(t, o, ca, "", "pop3") }},
	{peer: "curl", scheme: "ftp", heard: "sign-in USER me", run: func(t *testing.T, o *ours, ca string) (string, error) { return curl(t, o, ca, "", "ftp", "-I") }},
	{peer: "curl", scheme: "imaps", heard: "sign-in PLAIN me", run: func(t *testing.T, o *ours, ca string) (string, error) { return curl(t, o, ca, "", "imaps") }},
	{peer: "swaks", scheme: "submission", heard: "content", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "swaks", "--server", "127.0.0.1", "-p", o.port(), "-tls", "--tls-verify", "--tls-ca-path", ca, "--from", "a@example.test", "--to", "b@example.test", "-a", "PLAIN", "-au", "me", "-ap", "secret")
	}},
	{peer: "swaks", scheme: "lmtp", heard: "content", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "swaks", "--protocol", "LMTP", "--server", "127.0.0.1", "-p", o.port(), "-tls", "--tls-verify", "--tls-ca-path", ca, "--from", "a@example.test", "--to", "b@example.test")
	}},
	{peer: "OpenLDAP", scheme: "ldap", heard: "sign-in simple cn=me", run: func(t *testing.T, o *ours, ca string) (string, error) {
		// libldap checks the certificate against the address where it is given one
		return runClient(t, "", []string{"LDAPTLS_CACERT=" + ca, "LDAPTLS_REQCERT=demand"}, "ldapsearch", "-ZZ", "-x", "-D", "cn=me", "-w", "secret", "-H", "ldap://127.0.0.1:"+o.port(), "-b", "dc=example", "-s", "base")
	}},
	{peer: "PostgreSQL", scheme: "postgresql", heard: "sign-in PASSWORD me", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", []string{"PGPASSWORD=secret"}, "psql", fmt.Sprintf("host=%s hostaddr=127.0.0.1 port=%s sslmode=verify-full sslrootcert=%s user=me dbname=x", serverName, o.port(), ca), "-c", "select 1")
	}},
	{peer: "MariaDB", scheme: "mysql", heard: "sign-in mysql_native_password me", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "mariadb", "-h", "127.0.0.1", "-P", o.port(), "-u", "me", "-psecret", "--ssl-ca="+ca, "--ssl-verify-server-cert", "-e", "select 1")
	}},
}

func curl(t *testing.T, o *ours, ca, stdin, scheme string, args ...string) (string, error) {
	return runClient(t, stdin, nil, "curl", append([]string{"-sS", "--ssl-reqd", "--cacert", ca, "--resolve", serverName + ":" + o.port() + ":127.0.0.1", "-u", "me:secret", scheme + "://" + serverName + ":" + o.port() + "/"}, args...)...)
}

// Go's own client, which dials, upgrades and signs in by itself.
func TestNetSMTPOnOurServer(t *testing.T) {
	meet(t, "submission", starttls.ServerSide, "Go net/smtp")
	o := serve(t, "submission")
	c, err := smtp.Dial(o.addr)
	check(t, err)
	defer c.Close()
	check(t, c.StartTLS(&tls.Config{ServerName: serverName, RootCAs: authority(t).Pool}))
	check(t, c.Auth(smtp.PlainAuth("", "me", "secret", "127.0.0.1")))
	check(t, c.Mail("a@example.test"))
	check(t, c.Rcpt("b@example.test"))
	w, err := c.Data()
	check(t, err)
	fmt.Fprint(w, "Subject: x\r\n\r\ny\r\n")
	check(t, w.Close())
	check(t, c.Quit())
	if !strings.Contains(o.heard(), "sign-in PLAIN me") || !strings.Contains(o.heard(), "content") {
		t.Errorf("heard %q", o.heard())
	}
}

func TestGoIMAPOnOurServer(t *testing.T) {
	meet(t, "imap", starttls.ServerSide, "go-imap")
	o := serve(t, "imap")
	tls := &tls.Config{ServerName: serverName, RootCAs: authority(t).Pool}
	c, err := imapclient.DialStartTLS(o.addr, &imapclient.Options{TLSConfig: tls})
	check(t, err)
	defer c.Close()
	check(t, c.Login("me", "secret").Wait())
	box, err := c.Select("INBOX", nil).Wait()
	check(t, err)
	if box.NumMessages != 0 || !strings.Contains(o.heard(), "sign-in LOGIN me") {
		t.Errorf("%d messages; heard %q", box.NumMessages, o.heard())
	}
	check(t, c.Logout().Wait())
}

// A client library that does no STARTTLS of its own goes over our connection.
func TestGoIMAPOverOurConn(t *testing.T) {
	o := serve(t, "imap")
	conn, err := starttls.Dial(t.Context(), o.addr, protocol.IMAP, &starttls.Config{ServerName: serverName, TLS: &tls.Config{RootCAs: authority(t).Pool}})
	check(t, err)
	c := imapclient.New(conn.Greeted(), nil)
	defer c.Close()
	check(t, c.WaitGreeting())
	check(t, c.Login("me", "secret").Wait())
	check(t, c.Logout().Wait())
}
