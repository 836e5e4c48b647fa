package interop

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/gateway"
	"example.org/starttls/protocol"
)

// In mode originate clients in clear come to servers with TLS, verified by a CA
// or by a pinned key; a server that is not the one, or has no TLS, is refused.
func TestGatewayOriginates(t *testing.T) {
	pin := func(file string) string {
		b, err := os.ReadFile(file)
		check(t, err)
		block, _ := pem.Decode(b)
		c, err := x509.ParseCertificate(block.Bytes)
		check(t, err)
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	ca := authority(t).File
	for name, x := range map[string]struct {
		scheme  string
		backend gateway.Backend
		ok      bool
	}{
		"smtp by CA":         {"smtp", gateway.Backend{Address: sharedPostfix(t).SMTP, CA: ca, ServerName: serverName}, true},
		"smtp by pinned key": {"smtp", gateway.Backend{Address: sharedPostfix(t).SelfSigned, Pins: []string{pin(filepath.Join(sharedPostfix(t).Dir, "self-signed.crt"))}}, true},
		"smtp of other key":  {"smtp", gateway.Backend{Address: sharedPostfix(t).SMTP, Pins: []string{base64.StdEncoding.EncodeToString(make([]byte, 32))}}, false},
		"smtp of other name": {"smtp", gateway.Backend{Address: sharedPostfix(t).OtherName, CA: ca, ServerName: serverName}, false},
		"smtp expired":       {"smtp", gateway.Backend{Address: sharedPostfix(t).Expired, CA: ca, ServerName: serverName}, false},
		"smtp without TLS":   {"smtp", gateway.Backend{Address: sharedPostfix(t).NoTLS, CA: ca, ServerName: serverName}, false},
		"imap":               {"imap", gateway.Backend{Address: sharedDovecot(t).IMAP, CA: ca, ServerName: serverName}, true},
		"imap, implicit":     {"imap", gateway.Backend{Address: sharedDovecot(t).IMAPS, TLS: "implicit", CA: ca, ServerName: serverName}, true},
		"pop3":               {"pop3", gateway.Backend{Address: sharedDovecot(t).POP3, CA: ca, ServerName: serverName}, true},
		"sieve":              {"sieve", gateway.Backend{Address: sharedDovecot(t).Sieve, CA: ca, ServerName: serverName}, true},
		"ldap":               {"ldap", gateway.Backend{Address: sharedSlapd(t).LDAP, CA: ca, ServerName: serverName}, true},
		"postgresql":         {"postgresql", gateway.Backend{Address: sharedPostgres(t).Postgres, CA: ca, ServerName: serverName}, true},
		"xmpp-client":        {"xmpp-client", gateway.Backend{Address: sharedProsody(t).C2S, CA: ca, ServerName: domain}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGate(t, gateway.Listener{Mode: "originate", Protocol: x.scheme, Backend: x.backend})
			p, _, err := protocol.Lookup(x.scheme)
			check(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			conn, err := starttls.Dial(ctx, g.addr, p, &starttls.Config{Mode: starttls.None, ServerName: domain, LocalName: "client.example.test"})
			if err == nil {
				defer conn.Close()
				var h starttls.Hello
				h, err = conn.Probe(ctx)
				if h.Offered && p.Info().HelloInTLS {
					t.Errorf("TLS is offered to a client that has none: %q", h.Caps)
				}
			}
			if (err == nil) != x.ok {
				t.Errorf("%v", err)
			}
		})
	}
}

// Clients in clear sign in at servers that demand TLS.
func TestGatewayOriginateClients(t *testing.T) {
	ca := authority(t).File
	p := startGate(t, gateway.Listener{Mode: "originate", Protocol: "postgresql", Backend: gateway.Backend{Address: sharedPostgres(t).Postgres, CA: ca, ServerName: serverName}})
	out, err := runClient(t, "", []string{"PGPASSWORD=" + password}, "psql", fmt.Sprintf("host=127.0.0.1 port=%s sslmode=prefer user=%s dbname=postgres", p.port(), account), "-c", "select 'forty-two'")
	if err != nil || !strings.Contains(out, "forty-two") {
		t.Errorf("psql: %v\n%s", err, out)
	}
	server := sharedProFTPD(t).FTP
	f := startGate(t, gateway.Listener{Mode: "originate", Protocol: "ftp", Backend: gateway.Backend{Address: server, CA: ca, ServerName: serverName}})
	file := "ftp://127.0.0.1:" + f.port() + "/hello.txt"
	out, err = runClient(t, "", nil, "curl", "-sS", "-u", account+":"+password, file, file, file)
	if err != nil || out != "hello\nhello\nhello\n" {
		t.Errorf("curl ftp: %v\n%s", err, out)
	}
	// Which it could not, did its data connections not resume the session.
	out, err = runClient(t, "", nil, "curl", "-sS", "--ssl-reqd", "--cacert", ca, "--no-sessionid", "--resolve", serverName+":"+portOf(server)+":127.0.0.1",
		"-u", account+":"+password, "ftp://"+serverName+":"+portOf(server)+"/hello.txt")
	if err == nil {
		t.Errorf("ProFTPD took a data connection of its own session:\n%s", out)
	}
}

// Two gateways back to back: clear, TLS, clear.
func TestGatewaysFaceEachOther(t *testing.T) {
	in := gateOf(t, "smtp", clearPostfix(t).NoTLS)
	out := startGate(t, gateway.Listener{Mode: "originate", Protocol: "smtp", Backend: gateway.Backend{Address: in.addr, CA: authority(t).File, ServerName: serverName}})
	said, err := runClient(t, "", nil, "swaks", "--server", "127.0.0.1", "-p", out.port(), "--from", "a@example.test", "--to", mailUser)
	if err != nil || !strings.Contains(said, "Ok: queued") {
		t.Errorf("%v\n%s", err, said)
	}
}

// The backend is told who the client is: Postfix by XCLIENT, with either version
// of the PROXY protocol, Dovecot by ID.
func TestGatewayIdentifies(t *testing.T) {
	p := clearPostfix(t)
	g := startGate(t, gateway.Listener{Protocol: "smtp", ProxyFrom: []string{"127.0.0.1"}, Backend: gateway.Backend{Address: p.NoTLS, Identify: "protocol"}})
	said, err := runClient(t, "", nil, "swaks", "--server", "127.0.0.1", "-p", g.port(), "-tls", "--proxy-version", "1", "--proxy-family", "TCP4",
		"--proxy-source", "192.0.2.77", "--proxy-source-port", "4711", "--proxy-dest", "198.51.100.1", "--proxy-dest-port", "25", "--from", "a@example.test", "--to", mailUser)
	if err != nil || !strings.Contains(said, "Ok: queued") {
		t.Fatalf("%v\n%s", err, said)
	}
	if log := p.logs(); !strings.Contains(log, "client=unknown[192.0.2.77]") {
		t.Errorf("Postfix was told of another client:\n%s", log)
	}
	if !strings.Contains(g.log.String(), `"client":"192.0.2.77:4711"`) {
		t.Errorf("the log has another client:\n%s", g.log)
	}
}

// MariaDB's own client signs in, in clear here and by STARTTLS there, as a user
// who may not without; in both modes with the capabilities that it asks for
// itself: compression, here.
func TestGatewayMariaDBByTLS(t *testing.T) {
	ca, db := authority(t).File, sharedMariaDB(t)
	backend := gateway.Backend{Address: db.MySQL, TLS: "starttls", CA: ca, ServerName: serverName}
	run := func(g *gate, options ...string) (string, error) {
		return runClient(t, "", nil, "mariadb", append([]string{"-h", "127.0.0.1", "-P", g.port(), "-u", account, "-p" + password, "--compress",
			"-e", "select 'forty-two'; show status like 'Ssl_version'; show status like 'Compression'; select repeat('x', 100000)"}, options...)...)
	}
	out := startGate(t, gateway.Listener{Mode: "originate", Protocol: "mysql", Backend: backend})
	in := startGate(t, gateway.Listener{Protocol: "mysql", Backend: backend})
	for name, x := range map[string]struct {
		gate    *gate
		options []string
	}{
		"originate": {out, []string{"--skip-ssl"}},
		"terminate": {in, []string{"--ssl-ca=" + ca, "--ssl-verify-server-cert"}},
	} {
		said, err := run(x.gate, x.options...)
		for _, want := range []string{"forty-two", "TLSv1.3", "Compression\tON", strings.Repeat("x", 100000)} {
			if err != nil || !strings.Contains(said, want) {
				t.Errorf("%s: %q is missing, %v\n%.500s", name, want, err, said)
			}
		}
		if said, err := run(x.gate, append(x.options, "-pwrong")...); err == nil || !strings.Contains(said, "1045") {
			t.Errorf("%s with a wrong password: %v\n%s", name, err, said)
		}
	}
	// Who it is not, and who has no TLS, gets nothing; and that is told.
	wrong := backend
	wrong.ServerName = "other.example.test"
	for name, b := range map[string]gateway.Backend{"other name": wrong, "no TLS": {Address: clearMariaDB(t).MySQL, CA: ca, ServerName: serverName}} {
		g := startGate(t, gateway.Listener{Mode: "originate", Protocol: "mysql", Backend: b})
		if said, err := run(g, "--skip-ssl"); err == nil || !strings.Contains(said, "1040") {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
}
