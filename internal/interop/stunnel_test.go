package interop

import (
	"fmt"
	"strings"
	"testing"

	"example.org/starttls/gateway"
)

// stunnel and our gateway facing each other, between a client and a server that
// are both in clear:
//
//	client -- stunnel -- STARTTLS --> gateway (terminate) -- server
//	client -- gateway (originate) -- STARTTLS --> stunnel -- server

// startStunnel runs stunnel with one service and returns its address.
func startStunnel(t testing.TB, scheme, connect string, client bool) string {
	t.Helper()
	const program = "/usr/bin/stunnel4"
	s, addr := newServer(t, "stunnel", program), freeAddr(t)
	tls := fmt.Sprintf("client = yes\nCAfile = %s\nverifyChain = yes\ncheckHost = %s\n", s.CAFile, serverName)
	if !client {
		cert, key := s.certify(t, good)
		tls = fmt.Sprintf("cert = %s\nkey = %s\n", cert, key)
	}
	conf := s.write(t, "stunnel.conf", fmt.Sprintf("foreground = yes\npid =\nsyslog = no\n[x]\naccept = %s\nconnect = %s\nprotocol = %s\n%s", addr, connect, scheme, tls), 0o600)
	s.run(t, "root", []string{addr}, program, conf)
	return addr
}

// With what a client in clear sees of the server at the end of it all.
func TestGatewayAndStunnel(t *testing.T) {
	curl := func(t *testing.T, url string) (string, error) {
		return runClient(t, "", nil, "curl", "-sS", "-u", mailUser+":"+password, url)
	}
	for name, x := range map[string]struct {
		scheme, theirs string // the protocol's name here and there
		backend        func(testing.TB) string
		onlyClient     bool // they have no server's half of it
		run            func(t *testing.T, addr string) (string, error)
		want           string
	}{
		"smtp": {"smtp", "smtp", func(t testing.TB) string { return clearPostfix(t).NoTLS }, false, func(t *testing.T, addr string) (string, error) {
			return runClient(t, "", nil, "swaks", "--server", "127.0.0.1", "-p", portOf(addr), "--from", "a@example.test", "--to", mailUser)
		}, "Ok: queued"},
		"imap": {"imap", "imap", func(t testing.TB) string { return clearDovecot(t).IMAP }, false, func(t *testing.T, addr string) (string, error) {
			return curl(t, "imap://"+addr+"/")
		}, "INBOX"},
		"pop3": {"pop3", "pop3", func(t testing.TB) string { return clearDovecot(t).POP3 }, false, func(t *testing.T, addr string) (string, error) {
			out, err := curl(t, "pop3://"+addr+"/")
			return fmt.Sprintf("listed: %v\n%s", err == nil, out), err
		}, "listed: true"},
		"postgresql": {"postgresql", "pgsql", func(t testing.TB) string { return clearPostgres(t).Postgres }, false, func(t *testing.T, addr string) (string, error) {
			return runClient(t, "", []string{"PGPASSWORD=" + password}, "psql", fmt.Sprintf("host=127.0.0.1 port=%s sslmode=disable user=%s dbname=postgres", portOf(addr), account), "-c", "select 'forty-two'")
		}, "forty-two"},
		"ldap": {"ldap", "ldap", func(t testing.TB) string { return clearSlapd(t).LDAP }, true, func(t *testing.T, addr string) (string, error) {
			return runClient(t, "", nil, "ldapsearch", "-x", "-D", clearSlapd(t).Admin, "-w", password, "-H", "ldap://"+addr, "-b", clearSlapd(t).Base, "-s", "base")
		}, "dc: example"},
	} {
		try := func(t *testing.T, addr string) {
			t.Helper()
			if out, err := x.run(t, addr); err != nil || !strings.Contains(out, x.want) {
				t.Errorf("%v\n%s", err, out)
			}
		}
		t.Run(name+", stunnel first", func(t *testing.T) {
			t.Parallel()
			try(t, startStunnel(t, x.theirs, gateOf(t, x.scheme, x.backend(t)).addr, true))
		})
		if x.onlyClient {
			continue
		}
		t.Run(name+", the gateway first", func(t *testing.T) {
			t.Parallel()
			behind := gateway.Backend{Address: startStunnel(t, x.theirs, x.backend(t), false), CA: authority(t).File, ServerName: serverName}
			try(t, startGate(t, gateway.Listener{Mode: "originate", Protocol: x.scheme, Backend: behind}).addr)
		})
	}
}
