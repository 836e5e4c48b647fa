package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// mailDialogue is SMTP, as a user might write it down.
const mailDialogue = `name mail
more ^\d{3}-
offer (?i)^250[ -](STARTTLS)$
expect ^220
says 220 {server}
send EHLO {local}
expect ^250
says 250-{server}
says 250-STARTTLS
says 250 HELP
ask STARTTLS
go ^220
says 220 go
probe EHLO {local}
expect ^250
says 250 {server}
inject XPRB {marker}
expect ^5\d\d
says 500 what
deny 530 STARTTLS first
`

// A protocol that a file describes is spoken in each mode.
func TestDialogue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mail.dialogue")
	must(t, os.WriteFile(file, []byte(mailDialogue), 0o600))
	p, err := protocol.ParseDialogue(strings.NewReader(mailDialogue))
	must(t, err)
	ca := newPKI(t)
	inClear := hostBackend(t, protocol.SMTP, &starttls.Config{Mode: starttls.None})
	_, addr := start(t, Listener{Name: "mail", Dialogue: file, Certificates: ca.certificates(), Backend: Backend{Address: inClear.addr}}, quiet)
	greets := func(mode, addr string, cfg *starttls.Config) {
		t.Helper()
		c, err := starttls.Dial(t.Context(), addr, p, cfg)
		must(t, err)
		defer c.Close()
		if _, err := c.Probe(t.Context()); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	greets("terminate", addr, ca.client())
	// The gateway itself is the server of the others.
	_, guarded := start(t, Listener{Name: "mail", Mode: "guard", Dialogue: file, Backend: Backend{Address: addr}}, quiet)
	greets("guard", guarded, ca.client())
	_, local := start(t, Listener{Name: "mail", Mode: "originate", Dialogue: file, Backend: Backend{Address: addr, CA: ca.root, ServerName: testName}}, quiet)
	greets("originate", local, &starttls.Config{Mode: starttls.None})
}
