package interop

import (
	"strings"
	"testing"

	"example.org/starttls/gateway"
)

// stunnel and the gateway face each other, in both orders; a client in clear
// talks through both to a Postfix in clear.
func TestGatewayAndStunnel(t *testing.T) {
	ca := authority(t).File
	for name, front := range map[string]func(t *testing.T) string{
		"stunnel, then the gateway": func(t *testing.T) string {
			return startStunnel(t, "client = yes\nconnect = "+gateOf(t, "smtp", clearPostfix(t).NoTLS).addr+"\nCAfile = "+ca+"\nverifyChain = yes\ncheckHost = "+serverName)
		},
		"the gateway, then stunnel": func(t *testing.T) string {
			s := &server{Name: "stunnel", Dir: shortDir(t)}
			cert, key := s.certify(t, good)
			back := startStunnel(t, "connect = "+clearPostfix(t).NoTLS+"\ncert = "+cert+"\nkey = "+key)
			return startGate(t, gateway.Listener{Mode: "originate", Protocol: "smtp", Backend: gateway.Backend{Address: back, CA: ca, ServerName: serverName}}).addr
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := runClient(t, "", nil, "swaks", "--server", "127.0.0.1", "-p", portOf(front(t)), "--from", "a@example.test", "--to", mailUser)
			if err != nil || !strings.Contains(out, "Ok: queued") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// startStunnel runs stunnel with a service of SMTP, and gives its address.
func startStunnel(t testing.TB, settings string) string {
	t.Helper()
	const program = "/usr/bin/stunnel4"
	s, addr := newServer(t, "stunnel", program), freeAddr(t)
	conf := s.write(t, "stunnel.conf", "foreground = yes\npid =\n[smtp]\naccept = "+addr+"\nprotocol = smtp\n"+settings+"\n", 0o644)
	s.run(t, "root", []string{addr}, program, conf)
	return addr
}
