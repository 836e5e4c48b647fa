package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"example.org/starttls"
	checks "example.org/starttls/check"
	"example.org/starttls/protocol"
)

// service is one that our client half and check must bring to TLS.
type service struct {
	server string
	scheme string
	addr   func(testing.TB) string
	name   string // whom the certificate and the protocol name; "": serverName
	// fine are findings that are true of the server as it is set up here: these
	// versions accept TLS 1.1 from a client that has nothing better, and Dovecot
	// takes a client with its own address for one that needs no TLS to sign in;
	// Exim says a last word in clear after a record that is none, and goes on in
	// clear after close_notify; Cyrus goes on in clear after a failed handshake;
	// Cyrus's httpd and upsd answer inside TLS what was said before it.
	fine []string
	// erratic says why the server is not put to any test of the boundary.
	erratic string
	// dialer takes the place of the usual one where the server needs it.
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)
}

// carried are what servers get that answer inside TLS, or (Prosody) in clear,
// what came behind the request for TLS: see injection_test.go.
var carried = []string{"inject-segment", "inject-delayed", "inject-partial-line", "inject-parser", "inject-after-ok", "inject-race"}

// goesOn is what Cyrus gets, which goes on in clear after a failed handshake. What
// comes shortly behind the request for TLS sometimes makes the handshake fail, and
// is answered then.
var goesOn = []string{"clear-after-go-ahead", "inject-delayed"}

var services = []service{
	{server: "Postfix", scheme: "smtp", fine: []string{"old-tls"}, addr: func(t testing.TB) string { return sharedPostfix(t).SMTP }},
	{server: "Postfix", scheme: "submission", fine: []string{"old-tls"}, addr: func(t testing.TB) string { return sharedPostfix(t).Submission }},
	{server: "Dovecot", scheme: "imap", fine: []string{"auth-before-tls"}, addr: func(t testing.TB) string { return sharedDovecot(t).IMAP }},
	{server: "Dovecot", scheme: "imaps", addr: func(t testing.TB) string { return sharedDovecot(t).IMAPS }},
	{server: "Dovecot", scheme: "pop3", fine: []string{"auth-before-tls"}, addr: func(t testing.TB) string { return sharedDovecot(t).POP3 }},
	{server: "Dovecot", scheme: "pop3s", addr: func(t testing.TB) string { return sharedDovecot(t).POP3S }},
	{server: "Dovecot", scheme: "lmtp", addr: func(t testing.TB) string { return sharedDovecot(t).LMTP }},
	{server: "Dovecot", scheme: "sieve", fine: []string{"auth-before-tls"}, addr: func(t testing.TB) string { return sharedDovecot(t).Sieve }},
	{server: "OpenLDAP", scheme: "ldap", fine: []string{"old-tls"}, addr: func(t testing.TB) string { return sharedSlapd(t).LDAP }},
	{server: "OpenLDAP", scheme: "ldaps", fine: []string{"old-tls"}, addr: func(t testing.TB) string { return sharedSlapd(t).LDAPS }},
	{server: "Prosody", scheme: "xmpp-client", fine: carried, name: domain, addr: func(t testing.TB) string { return sharedProsody(t).C2S }},
	{server: "Prosody", scheme: "xmpp-server", fine: carried, name: domain, addr: func(t testing.TB) string { return sharedProsody(t).S2S }},
	{server: "ProFTPD", scheme: "ftp", addr: func(t testing.TB) string { return sharedProFTPD(t).FTP }},
	{server: "INN", scheme: "nntp", addr: func(t testing.TB) string { return sharedINN(t).NNTP }},
	{server: "InspIRCd", scheme: "irc", fine: append([]string{"old-tls"}, carried...), addr: func(t testing.TB) string { return sharedInspIRCd(t).IRC }},
	{server: "PostgreSQL", scheme: "postgresql", addr: func(t testing.TB) string { return sharedPostgres(t).Postgres }},
	{server: "CUPS", scheme: "http", fine: carried, name: "localhost", addr: func(t testing.TB) string { return sharedCUPS(t).IPP }},
	{server: "CUPS", scheme: "ipp", fine: carried, name: "localhost", addr: func(t testing.TB) string { return sharedCUPS(t).IPP }},
	{server: "TigerVNC", scheme: "vnc", addr: func(t testing.TB) string { return sharedTigerVNC(t).VNC }},
	{server: "xrdp", scheme: "rdp", addr: func(t testing.TB) string { return sharedXRDP(t).RDP }},
	{server: "nats-server", scheme: "nats", addr: func(t testing.TB) string { return sharedNATS(t).NATS }},
	{server: "nbdkit", scheme: "nbd", fine: []string{"old-tls"}, addr: func(t testing.TB) string { return sharedNBDKit(t).NBD }},
	{server: "MariaDB", scheme: "mysql", addr: func(t testing.TB) string { return sharedMariaDB(t).MySQL }},
	{server: "Exim", scheme: "smtp", fine: []string{"old-tls", "clear-in-tls", "clear-after-tls"}, addr: func(t testing.TB) string { return sharedExim(t).SMTP }},
	{server: "Exim", scheme: "submission", fine: []string{"old-tls", "clear-in-tls", "clear-after-tls"}, addr: func(t testing.TB) string { return sharedExim(t).SMTP }},
	{server: "Cyrus IMAP", scheme: "imap", fine: goesOn, addr: func(t testing.TB) string { return sharedCyrus(t).IMAP }},
	{server: "Cyrus IMAP", scheme: "pop3", fine: goesOn, addr: func(t testing.TB) string { return sharedCyrus(t).POP3 }},
	{server: "Cyrus IMAP", scheme: "lmtp", fine: goesOn, addr: func(t testing.TB) string { return sharedCyrus(t).LMTP }},
	{server: "Cyrus IMAP", scheme: "sieve", fine: goesOn, addr: func(t testing.TB) string { return sharedCyrus(t).Sieve }},
	{server: "Cyrus IMAP", scheme: "nntp", fine: goesOn, addr: func(t testing.TB) string { return sharedCyrus(t).NNTP }},
	{server: "Cyrus IMAP", scheme: "mupdate", erratic: "a handshake that fails ends the whole server now and then, for every client", addr: func(t testing.TB) string { return sharedCyrus(t).MUPDATE }},
	{server: "Cyrus IMAP", scheme: "http", fine: carried, addr: func(t testing.TB) string { return sharedCyrus(t).HTTP }},
	{server: "vsftpd", scheme: "ftp", addr: func(t testing.TB) string { return sharedVsftpd(t).FTP }},
	{server: "Pure-FTPd", scheme: "ftp", addr: func(t testing.TB) string { return sharedPureFTPd(t).FTP }},
	{server: "PgBouncer", scheme: "postgresql", addr: func(t testing.TB) string { return sharedPgBouncer(t).Postgres }},
	{server: "QEMU", scheme: "nbd", fine: []string{"old-tls"}, addr: func(t testing.TB) string { return sharedQemuNBD(t).NBD }},
	{server: "NUT", scheme: "nut", fine: carried, addr: func(t testing.TB) string { return sharedUpsd(t).NUT }},
	{server: "Shishi", scheme: "kerberos", erratic: "its replies to the commands of the tests are all the same", addr: func(t testing.TB) string { return sharedShishi(t).Kerberos }},
	{server: "C-Kermit", scheme: "telnet", dialer: lateTLS, erratic: "what it throws away and what it answers depends on the moment", addr: func(t testing.TB) string { return sharedKermit(t).Telnet }},
}

func (s service) target(t testing.TB) checks.Target {
	t.Helper()
	p, implicit, err := protocol.Lookup(s.scheme)
	if err != nil {
		t.Fatal(err)
	}
	addr := s.addr(t)
	host, port, err := net.SplitHostPort(addr)
	check(t, err)
	n, err := strconv.Atoi(port)
	check(t, err)
	return checks.Target{Protocol: p, Implicit: implicit, Host: host, Port: n, Address: addr}
}

func (s service) skipIfErratic(t testing.TB) {
	t.Helper()
	if s.erratic != "" {
		t.Skip(s.erratic)
	}
}

func (s service) reference() string {
	if s.name != "" {
		return s.name
	}
	return serverName
}

// Our client half upgrades on every real server, and the session lives.
func TestClientOnRealServers(t *testing.T) {
	for _, s := range services {
		t.Run(s.server+"/"+s.scheme, func(t *testing.T) {
			t.Parallel()
			meet(t, s.scheme, starttls.ClientSide, s.server)
			target := s.target(t)
			cfg := &starttls.Config{ServerName: s.reference(), LocalName: "client.example.test", Dialer: s.dialer, TLS: &tls.Config{RootCAs: authority(t).Pool}}
			if target.Implicit {
				cfg.Mode = starttls.Implicit
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			conn, err := starttls.Dial(ctx, target.Address, target.Protocol, cfg)
			if err != nil {
				var e *starttls.Error
				errors.As(err, &e)
				t.Fatalf("%v\n%s", err, e.Transcript)
			}
			defer conn.Close()
			if _, err := conn.Probe(ctx); err != nil {
				t.Errorf("%v\n%s", err, conn.Transcript())
			}
			if conn.Level() != starttls.LevelVerify {
				t.Errorf("level %v", conn.Level())
			}
		})
	}
}

// check gives the right verdict on every real server: what it finds is true,
// and nothing else.
func TestCheckOnRealServers(t *testing.T) {
	for _, s := range services {
		t.Run(s.server+"/"+s.scheme, func(t *testing.T) {
			t.Parallel()
			s.skipIfErratic(t)
			r := checks.Run(t.Context(), s.target(t), checks.Options{Roots: authority(t).Pool, Name: s.reference(), Local: "client.example.test", Dialer: s.dialer, Transcript: true, Soon: time.Hour})
			var bad []string
			for _, f := range r.Findings {
				if f.Severity != checks.Info && !slices.Contains(s.fine, f.ID) && known[s.server+"/"+s.scheme][f.ID] == "" {
					bad = append(bad, f.ID+": "+f.Detail)
				}
			}
			if r.Outcome != checks.Upgraded || r.Level != "verify" || len(bad) > 0 {
				t.Errorf("%s, level %s, %q\n%+v", r.Outcome, r.Level, bad, r)
			}
		})
	}
}

// Each fault of a real Postfix gets its name.
func TestCheckFindsFaultsOfPostfix(t *testing.T) {
	p := sharedPostfix(t)
	for want, addr := range map[string]string{"cert-expired": p.Expired, "cert-name": p.OtherName, "cert-self-signed": p.SelfSigned, "not-offered": p.NoTLS} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			target := service{scheme: "submission", addr: func(testing.TB) string { return addr }}.target(t)
			r := checks.Run(t.Context(), target, checks.Options{Roots: authority(t).Pool, Name: serverName, Local: "client.example.test"})
			if !slices.ContainsFunc(r.Findings, func(f checks.Finding) bool { return f.ID == want }) {
				t.Errorf("%s: %+v", r.Outcome, r.Findings)
			}
		})
	}
}
