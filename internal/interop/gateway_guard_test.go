package interop

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls/gateway"
)

// guardOf runs a guard in front of a real server.
func guardOf(t testing.TB, scheme, server string) *gate {
	t.Helper()
	return startGate(t, gateway.Listener{Mode: "guard", Protocol: scheme, Backend: gateway.Backend{Address: server}})
}

// tells waits for a guard to log s: a session's line comes when it is over.
func (g *gate) tells(t testing.TB, s string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(g.log.String(), s); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("the guard does not tell %s", s)
			return
		}
	}
}

// Real clients come to TLS with real servers through a guard, see the server's
// own certificate, sign in and do their work.
func TestGuardClients(t *testing.T) {
	ca := authority(t).File
	for name, x := range map[string]struct {
		scheme string
		server func(testing.TB) string
		want   string
		run    func(t *testing.T, g *gate) (string, error)
	}{
		"swaks and Postfix": {"submission", func(t testing.TB) string { return sharedPostfix(t).Submission }, "Ok: queued", func(t *testing.T, g *gate) (string, error) {
			return swaks(t, g.addr, "-tls", "--tls-verify", "--tls-ca-path", ca)
		}},
		"openssl and Postfix": {"smtp", func(t testing.TB) string { return sharedPostfix(t).SMTP }, "Verification: OK", func(t *testing.T, g *gate) (string, error) {
			return sClient(t, g.addr, "-starttls smtp")
		}},
		"curl and Dovecot, IMAP": {"imap", func(t testing.TB) string { return sharedDovecot(t).IMAP }, "INBOX", func(t *testing.T, g *gate) (string, error) {
			return gateCurl(t, g, "", "imap")
		}},
		"curl and Dovecot, POP3": {"pop3", func(t testing.TB) string { return sharedDovecot(t).POP3 }, "", func(t *testing.T, g *gate) (string, error) {
			return gateCurl(t, g, "", "pop3")
		}},
		"ldapsearch -ZZ and slapd": {"ldap", func(t testing.TB) string { return sharedSlapd(t).LDAP }, "dc: example", func(t *testing.T, g *gate) (string, error) {
			return ldapsearch(t, g.addr, "-ZZ", "LDAPTLS_REQCERT=never") // it would ask the certificate for 127.0.0.1
		}},
		"psql and PostgreSQL": {"postgresql", func(t testing.TB) string { return sharedPostgres(t).Postgres }, "forty-two", func(t *testing.T, g *gate) (string, error) {
			return psql(t, g.addr, "sslmode=verify-full sslrootcert="+ca)
		}},
		"mariadb and MariaDB": {"mysql", func(t testing.TB) string { return sharedMariaDB(t).MySQL }, "forty-two", func(t *testing.T, g *gate) (string, error) {
			return mariadbClient(t, g.addr, account, "--ssl-ca="+ca)
		}},
		"go-sendxmpp and Prosody": {"xmpp-client", func(t testing.TB) string { return sharedProsody(t).C2S }, "", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "hello\n", []string{"SSL_CERT_FILE=" + ca}, "go-sendxmpp", "-u", mailUser, "-p", password, "-j", g.addr, mailUser)
		}},
		// Data connections go to the server itself, and resume the session that
		// client and server have with each other.
		"curl and ProFTPD": {"ftp", func(t testing.TB) string { return sharedProFTPD(t).FTP }, "hello", func(t *testing.T, g *gate) (string, error) {
			return runClient(t, "", nil, "curl", "-sS", "--ssl-reqd", "--cacert", ca, "--resolve", serverName+":"+g.port()+":127.0.0.1", "-u", account+":"+password, "ftp://"+serverName+":"+g.port()+"/hello.txt")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guardOf(t, x.scheme, x.server(t))
			out, err := x.run(t, g)
			if err != nil || !strings.Contains(out, x.want) {
				t.Errorf("%v\n%s", err, out)
			}
			g.tells(t, `"offered_tls":"TLS 1.3"`)
			g.tells(t, `"bytes_up"`) // in TLS
		})
	}
}

// Real clients that sign in in clear, at servers that let them, are let in
// without a guard and not with one.
func TestGuardRefusesClientsInClear(t *testing.T) {
	for name, x := range map[string]struct {
		scheme string
		server func(testing.TB) string
		want   string // that the client says when it is let in
		run    func(t *testing.T, addr string) (string, error)
	}{
		"swaks and Postfix": {"submission", func(t testing.TB) string { return clearPostfix(t).NoTLS }, "Ok: queued", func(t *testing.T, addr string) (string, error) {
			return swaks(t, addr)
		}},
		"curl and Dovecot, IMAP": {"imap", func(t testing.TB) string { return clearDovecot(t).IMAP }, "INBOX", func(t *testing.T, addr string) (string, error) {
			return runClient(t, "", nil, "curl", "-sS", "-u", mailUser+":"+password, "imap://"+addr+"/")
		}},
		"curl and Dovecot, POP3": {"pop3", func(t testing.TB) string { return clearDovecot(t).POP3 }, "", func(t *testing.T, addr string) (string, error) {
			return runClient(t, "", nil, "curl", "-sS", "-u", mailUser+":"+password, "pop3://"+addr+"/")
		}},
		"ldapsearch and slapd": {"ldap", func(t testing.TB) string { return clearSlapd(t).LDAP }, "dc: example", func(t *testing.T, addr string) (string, error) {
			return ldapsearch(t, addr, "-x")
		}},
		"psql and PostgreSQL": {"postgresql", func(t testing.TB) string { return clearPostgres(t).Postgres }, "forty-two", func(t *testing.T, addr string) (string, error) {
			return psql(t, addr, "sslmode=disable")
		}},
		"mariadb and MariaDB": {"mysql", func(t testing.TB) string { return sharedMariaDB(t).MySQL }, "forty-two", func(t *testing.T, addr string) (string, error) {
			return mariadbClient(t, addr, sharedMariaDB(t).ClearUser, "--skip-ssl")
		}},
		"a stream and Prosody": {"xmpp-client", func(t testing.TB) string { return clearProsody(t).C2S }, "<success", clearXMPP},
		"curl and ProFTPD": {"ftp", func(t testing.TB) string { return clearProFTPD(t).FTP }, "hello", func(t *testing.T, addr string) (string, error) {
			return runClient(t, "", nil, "curl", "-sS", "-u", account+":"+password, "ftp://"+addr+"/hello.txt")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := x.server(t)
			if out, err := x.run(t, server); err != nil || !strings.Contains(out, x.want) {
				t.Fatalf("without a guard: %v\n%s", err, out)
			}
			g := guardOf(t, x.scheme, server)
			if out, err := x.run(t, g.addr); err == nil {
				t.Errorf("the client was let in\n%s", out)
			}
			g.tells(t, `"outcome":"refused-clear"`)
			if strings.Contains(g.log.String(), password) {
				t.Error("the log has the password")
			}
		})
	}
}

func swaks(t *testing.T, addr string, args ...string) (string, error) {
	return runClient(t, "", nil, "swaks", append([]string{"--server", "127.0.0.1", "-p", portOf(addr), "--from", "a@example.test", "--to", mailUser, "-a", "PLAIN", "-au", mailUser, "-ap", password}, args...)...)
}

func ldapsearch(t *testing.T, addr, arg string, env ...string) (string, error) {
	return runClient(t, "", env, "ldapsearch", arg, "-x", "-D", "cn=admin,dc=example,dc=test", "-w", password, "-H", "ldap://"+addr, "-b", "dc=example,dc=test", "-s", "base")
}

func psql(t *testing.T, addr, settings string) (string, error) {
	return runClient(t, "", []string{"PGPASSWORD=" + password}, "psql", fmt.Sprintf("host=%s hostaddr=127.0.0.1 port=%s user=%s dbname=postgres %s", serverName, portOf(addr), account, settings), "-c", "select 'forty-two'")
}

func mariadbClient(t *testing.T, addr, user string, args ...string) (string, error) {
	return runClient(t, "", nil, "mariadb", append([]string{"--no-defaults", "-h", "127.0.0.1", "-P", portOf(addr), "-u", user, "-p" + password, "-e", "select 'forty-two'"}, args...)...)
}

// clearXMPP signs in on a stream without TLS.
func clearXMPP(_ *testing.T, addr string) (string, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	said := ""
	for _, x := range []struct{ say, until string }{
		{"<?xml version='1.0'?><stream:stream to='" + domain + "' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", "</stream:features>"},
		{"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password)) + "</auth>", "<success"},
	} {
		if _, err := io.WriteString(nc, x.say); err != nil {
			return said, err
		}
		for buf := make([]byte, 4096); !strings.Contains(said, x.until); {
			n, err := nc.Read(buf)
			if said += string(buf[:n]); err != nil {
				return said, err
			}
		}
	}
	return said, nil
}
