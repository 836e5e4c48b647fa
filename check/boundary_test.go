package check

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/hostile"
	"example.org/starttls/protocol"
)

// faulty runs a server with the fault that f returns for each connection.
func faulty(t *testing.T, p starttls.Protocol, cfg *starttls.Config, f func(nc *heard) hostile.Fault) Target {
	t.Helper()
	return served(t, p, func(nc net.Conn) {
		h := &heard{Conn: nc}
		hostile.Serve(context.Background(), h, p, cfg, f(h))
	})
}

// heard is a connection that remembers what was said to it.
type heard struct {
	net.Conn
	mu   sync.Mutex
	said []byte
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, b[:n]...)
	return n, err
}

func (h *heard) contains(s string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Contains(h.said, []byte(s))
}

// boundaryFixtures are the red ones of the tests of the boundary.
func boundaryFixtures(t *testing.T, good func() *starttls.Config) map[string]fixture {
	with := func(p starttls.Protocol, f hostile.Fault) fixture {
		return fixture{func() Target { return faulty(t, p, good(), func(*heard) hostile.Fault { return f }) }, Upgraded}
	}
	keeps := hostile.Fault{Keep: hostile.All}
	return map[string]fixture{
		"inject-segment":      with(protocol.SMTP, keeps),
		"inject-delayed":      with(protocol.Submission, hostile.Fault{Keep: hostile.All, ReadsOn: true}),
		"inject-after-ok":     with(protocol.LMTP, hostile.Fault{Keep: hostile.All, ReadsOn: true}),
		"inject-partial-line": with(protocol.SMTP, keeps),
		"inject-race":         with(protocol.SMTP, keeps),
		"inject-prefix":       with(protocol.SMTP, hostile.Fault{Keep: hostile.All, OutputKept: true}),
		"inject-parser": {func() Target { // drops what follows the request only where it is written as usual
			return faulty(t, protocol.SMTP, good(), func(h *heard) hostile.Fault {
				return hostile.Fault{Keep: func(b []byte) []byte {
					if h.contains("STARTTLS\r\n") {
						return nil
					}
					return b
				}}
			})
		}, Upgraded},
		"greeting-in-tls":      with(protocol.Submission, hostile.Fault{GreetsAgain: true}),
		"clear-after-go-ahead": with(protocol.Submission, hostile.Fault{ClearInstead: true}),
		"clear-in-tls":         with(protocol.Submission, hostile.Fault{ClearBetween: true}),
		"opossum": {func() Target {
			implicit := good()
			implicit.Mode = starttls.Implicit
			upgrading := &starttls.Config{TLS: implicit.TLS}
			p := ported{Protocol: protocol.HTTP, implicit: serve(t, protocol.HTTP, implicit).Port}
			at := serve(t, protocol.HTTP, upgrading)
			p.port = at.Port
			at.Protocol = p
			return at
		}, Upgraded},
		"clear-after-tls": with(protocol.Submission, hostile.Fault{ClearAfter: true}),
	}
}

// strippingFixtures are the red ones of what is done to the offer on the way.
func strippingFixtures(t *testing.T, good func() *starttls.Config) map[string]fixture {
	return map[string]fixture{
		"request-rewritten": {func() Target {
			return target(protocol.SMTP, says(t, "220 x\r\n", "250 x\r\n", "500 5.5.1 unrecognized \"XXXXXXXX\"\r\n"))
		}, Stripped},
		"offer-suspect": {func() Target { return suspect(t, good()) }, Stripped},
	}
}

// suspect is a server whose greeting is overwritten, and which has no TLS on its
// usual port but on that of the form that begins with it.
func suspect(t *testing.T, cfg *starttls.Config) Target {
	t.Helper()
	cfg.Mode = starttls.Implicit
	p := ported{Protocol: protocol.Submission, implicit: serve(t, protocol.Submission, cfg).Port}
	at := target(p, says(t, "220 *******************\r\n", "250 x\r\n", "500 what\r\n", "500 what\r\n"))
	p.port = at.Port
	at.Protocol = p
	return at
}

// ported is a protocol on other ports than its usual ones.
type ported struct {
	starttls.Protocol
	port, implicit int
}

func (p ported) Info() starttls.Info {
	i := p.Protocol.Info()
	i.Port, i.ImplicitTLS = p.port, p.implicit
	return i
}

// A server whose upgrade can be attacked is safe from nobody on the path, whatever
// its certificate.
func TestAttackerOfTheUpgrade(t *testing.T) {
	ca := newCA(t)
	at := faulty(t, protocol.Submission, issue(t, ca, nil, name), func(*heard) hostile.Fault { return hostile.Fault{Keep: hostile.All} })
	r := Run(t.Context(), at, Options{Roots: ca.Pool(), Name: name})
	if r.Level != "verify" || r.Against.Eavesdropper != "safe" || r.Against.Attacker != "exposed" || r.Against.AttackerFix != injectionFix {
		t.Errorf("level %s, %+v", r.Level, r.Against)
	}
}

// A last word in clear is no answer to the command before it: behind it the
// server has to go on.
func TestLastWordInClear(t *testing.T) {
	for want, then := range map[Verdict][]string{Passed: nil, Vulnerable: {""}} {
		at := served(t, protocol.FTP, func(nc net.Conn) {
			said := []string{"!220 x\r\n", "211-x\r\n AUTH TLS\r\n211 x\r\n", "234 go\r\n", "500 OOPS: no TLS\r\n"}
			replies(nc, append(said, then...)...)
		})
		r := newRun(at, Options{Name: name, Timeout: 5 * time.Second})
		got := r.insteadOfTLS(t.Context(), at.Protocol.(starttls.Injector), nil)
		if got.verdict != want || !strings.Contains(strings.Join(got.evidence, "\n"), "500 OOPS") {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

// A command that is answered in clear, before TLS, is not said to be answered
// inside it.
func TestAnswerInClearIsCalledSo(t *testing.T) {
	ca := newCA(t)
	at := faulty(t, protocol.Submission, issue(t, ca, nil, name), func(*heard) hostile.Fault { return hostile.Fault{ClearInstead: true} })
	seen := false
	for _, f := range Run(t.Context(), at, Options{Roots: ca.Pool(), Name: name}).Findings {
		if strings.HasPrefix(f.ID, "inject-") && f.Verdict == Warn && f.Severity == Low {
			if seen = true; strings.Contains(f.Title, "inside TLS") {
				t.Errorf("%s: %q, %q", f.ID, f.Title, f.Detail)
			}
		}
	}
	if !seen {
		t.Error("nothing is answered in clear")
	}
}

// The evidence of a command in clear has the command, and the answer, where they
// were said.
func TestEvidenceHasWhatWasInjected(t *testing.T) {
	ca := newCA(t)
	for fault, inside := range map[*hostile.Fault]bool{{Keep: hostile.All, ReadsOn: true}: true, {ClearInstead: true}: false} {
		at := faulty(t, protocol.Submission, issue(t, ca, nil, name), func(*heard) hostile.Fault { return *fault })
		for _, f := range Run(t.Context(), at, Options{Roots: ca.Pool(), Name: name}).Findings {
			if !slices.Contains([]string{"inject-segment", "inject-delayed", "inject-after-ok"}, f.ID) {
				continue
			}
			said := slices.IndexFunc(f.Evidence, func(l string) bool { return strings.HasPrefix(l, "C: EHLO M") })
			answer := "S: 250 "
			if inside {
				answer = "S~ 250-"
			}
			if at := slices.IndexFunc(f.Evidence, func(l string) bool { return strings.HasPrefix(l, answer) }); said < 0 || inside && at < said || !inside && !strings.HasPrefix(f.Evidence[len(f.Evidence)-1], answer) || !f.Bad() {
				t.Errorf("%s %s:\n%s", f.ID, f.Verdict, strings.Join(f.Evidence, "\n"))
			}
		}
	}
}
