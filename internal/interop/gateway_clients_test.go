package interop

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"math/rand"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	checks "example.org/starttls/check"
	"example.org/starttls/gateway"
	"example.org/starttls/protocol"

	"github.com/emersion/go-imap/v2/imapclient"
)

// The servers in clear that stand behind the gateway.
var (
	clearDovecot = shared(func(t testing.TB) *dovecot { return startDovecot(t, dovecotOptions{NoTLS: true}) })
	clearPostfix = shared(func(t testing.TB) *postfix {
		return startPostfix(t, postfixOptions{Mail: clearDovecot(t), Main: clearMain})
	})
	clearSlapd    = shared(func(t testing.TB) *slapd { return startSlapd(t, slapdOptions{NoTLS: true}) })
	clearProsody  = shared(func(t testing.TB) *prosody { return startProsody(t, prosodyOptions{NoTLS: true}) })
	clearProFTPD  = shared(func(t testing.TB) *proftpd { return startProFTPD(t, proftpdOptions{NoTLS: true}) })
	clearPostgres = shared(func(t testing.TB) *postgresql { return startPostgreSQL(t, postgresqlOptions{NoTLS: true}) })
	clearMariaDB  = shared(func(t testing.TB) *mariadb { return startMariaDB(t, mariadbOptions{NoTLS: true}) })
)

// clearMain lets Postfix have people sign in without a TLS of its own, and
// believe the gateway about its clients.
var clearMain = []string{"smtpd_tls_auth_only = no", "smtpd_sasl_auth_enable = $st_sasl", "smtpd_authorized_xclient_hosts = 127.0.0.1"}

func gateOf(t testing.TB, scheme, backend string) *gate {
	return startGate(t, gateway.Listener{Protocol: scheme, Backend: gateway.Backend{Address: backend}})
}

// Real clients, with their certificate checks on, through the gateway to real
// servers in clear.
func TestGatewayClients(t *testing.T) {
	ca := authority(t).File
	for name, x := range map[string]struct {
		scheme  string
		backend func(testing.TB) string
		want    string
		run     func(t *testing.T, g *gate) (string, error)
	}{
		"swaks signs in and sends": {"submission", func(t testing.TB) string { return clearPostfix(t).NoTLS }, "Ok: queued", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "", nil, "swaks", "--server", "127.0.0.1", "-p", g.port(), "-tls", "--tls-verify", "--tls-ca-path", ca, "--from", "a@example.test", "--to", mailUser, "-a", "PLAIN", "-au", mailUser, "-ap", password)
		}},
		"curl smtp": {"submission", func(t testing.TB) string { return clearPostfix(t).NoTLS }, "", func(t *testing.T, g *gate) (string, error) {
			return gateCurl(t, g, "Subject: x\r\n\r\ny\r\n", "smtp", "--mail-from", "a@example.test", "--mail-rcpt", mailUser, "-T", "-")
		}},
		"curl imap": {"imap", func(t testing.TB) string { return clearDovecot(t).IMAP }, "INBOX", func(t *testing.T, g *gate) (string, error) { return gateCurl(t, g, "", "imap") }},
		"curl pop3": {"pop3", func(t testing.TB) string { return clearDovecot(t).POP3 }, "", func(t *testing.T, g *gate) (string, error) { return gateCurl(t, g, "", "pop3") }},
		"swaks lmtp": {"lmtp", func(t testing.TB) string { return clearDovecot(t).LMTP }, "Saved", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "", nil, "swaks", "--protocol", "LMTP", "--server", "127.0.0.1", "-p", g.port(), "-tls", "--tls-verify", "--tls-ca-path", ca, "--from", "a@example.test", "--to", mailUser)
		}},
		"gnutls-cli sieve": {"sieve", func(t testing.TB) string { return clearDovecot(t).Sieve }, `"SIEVE"`, func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "", nil, "gnutls-cli", "--starttls-proto=sieve", "--x509cafile="+ca, "--verify-hostname="+serverName, "-p", g.port(), "127.0.0.1")
		}},
		"ldapsearch -ZZ": {"ldap", func(t testing.TB) string { return clearSlapd(t).LDAP }, "dc: example", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "", []string{"LDAPTLS_CACERT=" + ca, "LDAPTLS_REQCERT=demand"}, "ldapsearch", "-ZZ", "-x", "-D", clearSlapd(t).Admin, "-w", password, "-H", "ldap://127.0.0.1:"+g.port(), "-b", clearSlapd(t).Base, "-s", "base")
		}},
		"psql verify-full": {"postgresql", func(t testing.TB) string { return clearPostgres(t).Postgres }, "forty-two", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "", []string{"PGPASSWORD=" + password}, "psql", fmt.Sprintf("host=%s hostaddr=127.0.0.1 port=%s sslmode=verify-full sslrootcert=%s user=%s dbname=postgres", serverName, g.port(), ca, account), "-c", "select 'forty-two'")
		}},
		"mariadb": {"mysql", func(t testing.TB) string { return clearMariaDB(t).MySQL }, "forty-two", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "", nil, "mariadb", "-h", "127.0.0.1", "-P", g.port(), "-u", clearMariaDB(t).ClearUser, "-p"+password, "--ssl-ca="+ca, "--ssl-verify-server-cert", "-e", "select 'forty-two'")
		}},
		"go-sendxmpp": {"xmpp-client", func(t testing.TB) string { return clearProsody(t).C2S }, "", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "hello\n", []string{"SSL_CERT_FILE=" + ca}, "go-sendxmpp", "-u", mailUser, "-p", password, "-j", g.addr, mailUser)
		}},
		"openssl xmpp": {"xmpp-client", func(t testing.TB) string { return clearProsody(t).C2S }, "Verification: OK", func(t *testing.T, g *gate) (string, error) {
			return sClient(t, g.addr, "-starttls xmpp -xmpphost "+domain)
		}},
		"curl ftp": {"ftp", func(t testing.TB) string { return clearProFTPD(t).FTP }, "hello", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "", nil, "curl", "-sS", "--ssl-reqd", "--cacert", ca, "--resolve", serverName+":"+g.port()+":127.0.0.1", "-u", account+":"+password, "ftp://"+serverName+":"+g.port()+"/hello.txt")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gateOf(t, x.scheme, x.backend(t))
			out, err := x.run(t, g)
			if err != nil || !strings.Contains(out, x.want) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func gateCurl(t *testing.T, g *gate, stdin, scheme string, args ...string) (string, error) {
	return runClient(t, stdin, nil, "curl", append([]string{"-sS", "--ssl-reqd", "--cacert", authority(t).File, "--resolve", serverName + ":" + g.port() + ":127.0.0.1",
		"-u", mailUser + ":" + password, scheme + "://" + serverName + ":" + g.port() + "/"}, args...)...)
}

// lftp puts a file of random bytes through TLS on data connections, and gets it
// back the same.
func TestGatewayLFTP(t *testing.T) {
	f := clearProFTPD(t)
	g := startGate(t, gateway.Listener{Protocol: "ftp", PassivePorts: "32500-32600", Backend: gateway.Backend{Address: f.FTP}})
	dir := shortDir(t)
	sent := make([]byte, 3<<20)
	rand.New(rand.NewSource(1)).Read(sent)
	check(t, os.WriteFile(filepath.Join(dir, "sent"), sent, 0o644))
	script := fmt.Sprintf(`set ssl:ca-file %s; set ftp:ssl-force true; set ftp:ssl-protect-data true; set ssl:check-hostname false; set net:max-retries 1; set net:timeout 10
open -u %s,%s -p %s 127.0.0.1
put %s/sent -o sent.bin; get sent.bin -o %s/back; ls; bye`, authority(t).File, account, password, g.port(), dir, dir)
	out, err := runClient(t, "", nil, "lftp", "-c", script)
	back, _ := os.ReadFile(filepath.Join(dir, "back"))
	if err != nil || sha256.Sum256(back) != sha256.Sum256(sent) || !strings.Contains(out, "hello.txt") {
		t.Errorf("%v, %d bytes came back of %d\n%s", err, len(back), len(sent), out)
	}
}

// Go's own SMTP client, and a message that looks like a reply to EHLO: it is
// delivered as it was sent.
func TestGatewayNetSMTP(t *testing.T) {
	g := gateOf(t, "submission", clearPostfix(t).NoTLS)
	c, err := smtp.Dial(g.addr)
	check(t, err)
	defer c.Close()
	check(t, c.StartTLS(&tls.Config{ServerName: serverName, RootCAs: authority(t).Pool}))
	if ok, _ := c.Extension("STARTTLS"); ok {
		t.Error("TLS is offered inside TLS")
	}
	check(t, c.Auth(smtp.PlainAuth("", mailUser, password, "127.0.0.1")))
	check(t, c.Mail("a@example.test"))
	check(t, c.Rcpt(mailUser))
	w, err := c.Data()
	check(t, err)
	const text = "250-STARTTLS\r\n250 STARTTLS\r\nEHLO x\r\n* CAPABILITY STARTTLS\r\n"
	fmt.Fprint(w, "Subject: looks like a reply\r\n\r\n"+text)
	check(t, w.Close())
	check(t, c.Quit())
	maildir := filepath.Join(clearDovecot(t).Dir, "mail", mailUser, "Maildir", "new")
	found := false
	for deadline := time.Now().Add(10 * time.Second); !found && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		names, _ := filepath.Glob(filepath.Join(maildir, "*"))
		found = slices.ContainsFunc(names, func(n string) bool {
			b, _ := os.ReadFile(n)
			return strings.Contains(strings.ReplaceAll(string(b), "\r", ""), "\n\n"+strings.ReplaceAll(text, "\r", ""))
		})
	}
	if !found {
		t.Error("the message did not come as it was sent")
	}
}

// go-imap signs in through the gateway and reads a message with such a text.
func TestGatewayGoIMAP(t *testing.T) {
	g := gateOf(t, "imap", clearDovecot(t).IMAP)
	c, err := imapclient.DialStartTLS(g.addr, &imapclient.Options{TLSConfig: &tls.Config{ServerName: serverName, RootCAs: authority(t).Pool}})
	check(t, err)
	defer c.Close()
	check(t, c.Login(mailUser, password).Wait())
	const text = "Subject: x\r\n\r\n* CAPABILITY STARTTLS\r\na OK [CAPABILITY STARTTLS] x\r\n"
	a := c.Append("INBOX", int64(len(text)), nil)
	_, err = a.Write([]byte(text))
	check(t, err)
	check(t, a.Close())
	_, err = a.Wait()
	check(t, err)
	caps, err := c.Capability().Wait()
	check(t, err)
	for name := range caps {
		if name == "STARTTLS" || name == "LOGINDISABLED" {
			t.Errorf("%s is listed inside TLS", name)
		}
	}
	check(t, c.Logout().Wait())
}

// An XMPP client of ours signs in, which restarts the stream, and binds.
func TestGatewayXMPPSession(t *testing.T) {
	g := gateOf(t, "xmpp-client", clearProsody(t).C2S)
	conn, err := starttls.Dial(t.Context(), g.addr, protocol.XMPPClient, &starttls.Config{ServerName: domain, TLS: &tls.Config{RootCAs: authority(t).Pool}})
	check(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	header := "<?xml version='1.0'?><stream:stream to='" + domain + "' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
	say := func(text, until string) {
		t.Helper()
		_, err := conn.Write([]byte(text))
		check(t, err)
		var got strings.Builder
		for buf := make([]byte, 4096); !strings.Contains(got.String(), until); {
			n, err := conn.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				t.Fatalf("%v, after %q", err, got.String())
			}
		}
		if strings.Contains(got.String(), "<starttls") {
			t.Errorf("TLS is offered inside TLS: %s", got.String())
		}
	}
	say(header, "</stream:features>")
	say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"+base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password))+"</auth>", "<success")
	say(header, "</stream:features>")
	say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "<jid>"+account+"@"+domain)
}

// check finds nothing wrong with the gateway in front of servers in clear.
func TestGatewayIsChecked(t *testing.T) {
	for scheme, backend := range map[string]func(testing.TB) string{
		"submission": func(t testing.TB) string { return clearPostfix(t).NoTLS }, "smtp": func(t testing.TB) string { return clearPostfix(t).NoTLS },
		"lmtp": func(t testing.TB) string { return clearDovecot(t).LMTP }, "imap": func(t testing.TB) string { return clearDovecot(t).IMAP }, "imaps": func(t testing.TB) string { return clearDovecot(t).IMAP },
		"pop3": func(t testing.TB) string { return clearDovecot(t).POP3 }, "pop3s": func(t testing.TB) string { return clearDovecot(t).POP3 }, "sieve": func(t testing.TB) string { return clearDovecot(t).Sieve },
		"ldap": func(t testing.TB) string { return clearSlapd(t).LDAP }, "ldaps": func(t testing.TB) string { return clearSlapd(t).LDAP },
		"xmpp-client": func(t testing.TB) string { return clearProsody(t).C2S }, "xmpp-server": func(t testing.TB) string { return clearProsody(t).S2S },
		"ftp": func(t testing.TB) string { return clearProFTPD(t).FTP }, "postgresql": func(t testing.TB) string { return clearPostgres(t).Postgres }, "mysql": func(t testing.TB) string { return clearMariaDB(t).MySQL },
	} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			g := gateOf(t, scheme, backend(t))
			s := service{scheme: scheme, addr: func(testing.TB) string { return g.addr }}
			name := serverName
			if strings.HasPrefix(scheme, "xmpp") {
				name = domain
			}
			r := checks.Run(t.Context(), s.target(t), checks.Options{Roots: authority(t).Pool, Name: name, Local: "client.example.test", Transcript: true, Soon: time.Hour})
			for _, f := range r.Findings {
				if f.Severity != checks.Info && f.ID != "mx-requires-tls" { // which is so: it requires TLS unless told otherwise
					t.Errorf("%s: %s", f.ID, f.Detail)
				}
			}
			if r.Outcome != checks.Upgraded || r.Level != "verify" {
				t.Errorf("%s, level %s: %+v", r.Outcome, r.Level, r.Error)
			}
		})
	}
}
