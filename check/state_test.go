package check

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/hostile"
	"example.org/starttls/protocol"
)

// Our own servers have none of the faults: every test that a protocol has passes
// on its server half and Host.
func TestOwnServersPassAllTests(t *testing.T) {
	ca := newCA(t)
	for _, p := range protocol.All() {
		t.Run(p.Info().Name, func(t *testing.T) {
			t.Parallel()
			tests, ok := p.(starttls.Tester)
			if !ok {
				t.Fatal("it has no tests")
			}
			r := newRun(serve(t, p, issue(t, ca, nil, name)), Options{Name: name})
			for _, test := range tests.Tests() {
				if got := r.protocolTest(t.Context(), test); got.verdict != Passed && got.verdict != "" {
					t.Errorf("%s: %+v", test.ID, got)
				}
			}
			for _, test := range r.sequenceTests() {
				if got := test.try(t.Context(), r); got.verdict != Passed && got.verdict != "" {
					t.Errorf("%s: %+v", test.id, got)
				}
			}
		})
	}
}

// talker is a server made of lines, with faults: it knows what to answer by how
// a command begins, and refuses all else. TAG in an answer is the command's tag.
type talker struct {
	protocol      starttls.Protocol
	greeting      string
	clear, inside []string // how a command begins, and the answer to it
	refusal       string
	oneAnswer     bool // to all that comes in one piece inside TLS
}

// begin marks the answer behind which TLS begins.
const begin = "TLS "

func (k talker) serve(t *testing.T, cert *tls.Config) Target {
	return served(t, k.protocol, func(nc net.Conn) {
		nc.Write([]byte(k.greeting))
		for answers := k.clear; k.say(bufio.NewReader(nc), nc, answers); answers = k.inside {
			nc = tls.Server(nc, cert)
		}
	})
}

// say answers until TLS begins, and reports whether it does.
func (k talker) say(r *bufio.Reader, nc net.Conn, answers []string) bool {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if k.oneAnswer {
			r.Discard(r.Buffered())
		}
		tag, reply := "", k.refusal
		if strings.Contains(reply, "TAG") {
			tag, line, _ = strings.Cut(line, " ")
		}
		for i := 0; i < len(answers); i += 2 {
			if strings.HasPrefix(line, answers[i]) {
				reply = answers[i+1]
			}
		}
		reply, begins := strings.CutPrefix(reply, begin)
		nc.Write([]byte(strings.ReplaceAll(reply, "TAG", tag) + "\r\n"))
		if begins {
			return true
		}
	}
}

// stateFixtures are servers with one of the faults each, by its id.
func stateFixtures(t *testing.T, cfg *starttls.Config) map[string]Target {
	cert := cfg.TLS
	smtp := func(p starttls.Protocol, clear, inside []string) Target {
		clear = append([]string{"EHLO", "250-x\r\n250 STARTTLS", "LHLO", "250-x\r\n250 STARTTLS", "STARTTLS", begin + "220 go"}, clear...)
		inside = append([]string{"EHLO", "250 x"}, inside...)
		return talker{protocol: p, greeting: "220 x\r\n", clear: clear, inside: inside, refusal: "530 Must issue a STARTTLS command first"}.serve(t, cert)
	}
	imap := func(clear ...string) Target {
		clear = append([]string{"STARTTLS", begin + "TAG OK go"}, clear...)
		return talker{protocol: protocol.IMAP, greeting: "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] x\r\n", clear: clear, refusal: "TAG NO [PRIVACYREQUIRED] no"}.serve(t, cert)
	}
	pop3 := func(clear, inside []string) Target {
		clear = append([]string{"STLS", begin + "+OK", "CAPA", "+OK\r\nSTLS\r\n."}, clear...)
		return talker{protocol: protocol.POP3, greeting: "+OK <1@x>\r\n", clear: clear, inside: inside, refusal: "-ERR no"}.serve(t, cert)
	}
	nntp := func(clear, inside []string) Target {
		clear = append([]string{"STARTTLS", begin + "382 go", "CAPABILITIES", "101\r\nSTARTTLS\r\n."}, clear...)
		return talker{protocol: protocol.NNTP, greeting: "200 x\r\n", clear: clear, inside: inside, refusal: "500 what"}.serve(t, cert)
	}
	ftp := func(clear, inside []string) Target {
		clear = append([]string{"AUTH TLS", begin + "234 go", "FEAT", "211-x\r\n AUTH TLS\r\n211 x"}, clear...)
		return talker{protocol: protocol.FTP, greeting: "220 x\r\n", clear: clear, inside: inside, refusal: "500 what"}.serve(t, cert)
	}
	irc := func(clear, inside []string) Target {
		clear = append([]string{"STARTTLS", begin + ":x 670 * :go"}, clear...)
		return talker{protocol: protocol.IRC, clear: clear, inside: inside, refusal: ":x 421 * :what"}.serve(t, cert)
	}
	return map[string]Target{
		"tls-not-required":    smtp(protocol.Submission, []string{"MAIL", "250 ok"}, nil),
		"mx-requires-tls":     smtp(protocol.SMTP, nil, nil),
		"auth-cleartext":      smtp(protocol.Submission, []string{"AUTH PLAIN ", "535 no such user"}, nil),
		"password-invited":    imap("LOGIN", "+ go on"),
		"apop-clear":          pop3([]string{"APOP", "-ERR [AUTH] no"}, nil),
		"starttls-twice":      smtp(protocol.Submission, nil, []string{"STARTTLS", begin + "220 go"}),
		"starttls-late":       irc([]string{"CAP LS", ":x CAP * LS :tls", "CAP END", ":x NOTICE * :wait", "NICK", ":x NOTICE * :wait", "USER", ":x 001 a :hi\r\n:x 422 a :no message"}, nil),
		"starttls-args":       pop3(nil, nil), // knows a command by how it begins
		"state-kept":          nntp([]string{"LIST", "215\r\na.b 1 1 y\r\n.", "GROUP", "211 0 0 0 a.b"}, []string{"STAT", "420 nothing there"}),
		"sasl-half":           imap("AUTHENTICATE", "+ "),
		"outstanding":         served(t, protocol.LDAP, func(nc net.Conn) { searchLater(nc, cert) }),
		"compress-clear":      imap("COMPRESS", "TAG OK go"),
		"requiretls-in-clear": smtp(protocol.Submission, []string{"EHLO", "250-x\r\n250-STARTTLS\r\n250 REQUIRETLS"}, nil),
		"xclient":             smtp(protocol.Submission, []string{"EHLO", "250-x\r\n250-STARTTLS\r\n250 XCLIENT NAME ADDR"}, nil),
		"capa-missing":        pop3([]string{"CAPA", "-ERR what"}, nil),
		"mode-reader-in-tls":  nntp(nil, []string{"CAPABILITIES", "101\r\nVERSION 2\r\nMODE-READER\r\n."}),
		"prot-clear":          ftp(nil, []string{"PBSZ", "200 ok", "PROT", "200 ok"}),
		"prot-no-pbsz":        ftp(nil, []string{"PROT", "200 ok"}),
		"ccc":                 ftp(nil, []string{"CCC", "200 ok"}),
		"auth-alias":          ftp([]string{"AUTH SSL", "334 go"}, nil),
		"sts-capability":      irc([]string{"CAP LS", ":x CAP * LS :tls sts=port=6697"}, []string{"CAP LS", ":x CAP * LS :x"}),
		"anonymous-tls": served(t, protocol.VNC, func(nc net.Conn) {
			replies(nc, "!RFB 003.008\n", "\x01\x13", "\x00\x02", "\x00\x02\x00\x00\x01\x01\x00\x00\x01\x04")
		}),
		"direct-no-alpn":        served(t, protocol.PostgreSQL, func(nc net.Conn) { replies(tls.Server(nc, cert), "R\x00\x00\x00\x08\x00\x00\x00\x03") }),
		"upgrade-no-connection": served(t, protocol.HTTP, func(nc net.Conn) { replies(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.2\r\n\r\n") }),
		"cross-protocol":        smtp(protocol.Submission, nil, nil),
		"pipelining-lost": talker{protocol: protocol.POP3, greeting: "+OK\r\n", clear: []string{"STLS", begin + "+OK", "CAPA", "+OK\r\nSTLS\r\n."},
			refusal: "-ERR no", oneAnswer: true}.serve(t, cert),
		"early-hello": smtp(protocol.Submission, nil, nil), // whose reader is thrown away with what it has read
	}
}

// replies says each of them behind whatever comes; one that begins with "!"
// comes unasked. Then it closes.
func replies(nc net.Conn, all ...string) {
	buf := make([]byte, 64<<10)
	for _, reply := range all {
		reply, unasked := strings.CutPrefix(reply, "!")
		if !unasked {
			if _, err := nc.Read(buf); err != nil {
				return
			}
		}
		nc.Write([]byte(reply))
	}
}

// searchLater grants TLS while it owes the answer to a search.
func searchLater(nc net.Conn, cfg *tls.Config) {
	var said []byte
	for buf := make([]byte, 4096); !bytes.Contains(said, []byte("1.3.6.1.4.1.1466.20037")); {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		said = append(said, buf[:n]...)
	}
	nc.Write([]byte("0\x0c\x02\x01\x01x\x07\x0a\x01\x00\x04\x00\x04\x00"))
	tls.Server(nc, cfg).HandshakeContext(context.Background())
}

// Each finding on a server that has the fault, and not on our own.
func TestStateFindings(t *testing.T) {
	ca := newCA(t)
	cfg := issue(t, ca, nil, name)
	red := stateFixtures(t, cfg)
	for _, e := range stateFindings {
		t.Run(e.id, func(t *testing.T) {
			t.Parallel()
			at, ok := red[e.id]
			if !ok {
				t.Fatal("no red fixture")
			}
			got := tried(t, at, e.id)
			role := at.Protocol.Info().Role
			want := e.severity[role]
			if got.Severity != want || got.Bad() != (want != Info) || got.Verdict == Passed || len(got.Evidence) == 0 && e.id != "direct-no-alpn" { // in which nothing is said in clear
				t.Errorf("red: %+v, want %s", got, want)
			}
			if green := tried(t, serve(t, at.Protocol, issue(t, ca, nil, name)), e.id); green.ID != "" && green.Verdict != Passed {
				t.Errorf("green: %+v", green)
			}
		})
	}
}

// tried is the finding of one test; a zero one where there was nothing to test.
func tried(t *testing.T, at Target, id string) Finding {
	t.Helper()
	r := newRun(at, Options{Name: name, Timeout: 5 * time.Second})
	r.blind = true // a list may be what is at fault
	for _, test := range append(r.protocolTests(), r.sequenceTests()...) {
		if test.id == id {
			r.take(id, test.try(t.Context(), r))
		}
	}
	if len(r.Findings) == 0 {
		return Finding{}
	}
	return r.Findings[0]
}

// A server that greets inside TLS is not taken at the word of its greeting.
func TestGreetingInTLSIsNoAnswer(t *testing.T) {
	cfg := issue(t, newCA(t), nil, name)
	for _, p := range []starttls.Protocol{protocol.Submission, protocol.POP3, protocol.NNTP, protocol.FTP, protocol.Citadel, protocol.Radmind} {
		r := newRun(faulty(t, p, cfg, func(*heard) hostile.Fault { return hostile.Fault{GreetsAgain: true} }), Options{Name: name, Timeout: time.Second})
		for _, test := range p.(starttls.Tester).Tests() {
			if got := r.protocolTest(t.Context(), test); got.verdict != Passed && got.verdict != Inconclusive && got.verdict != "" {
				t.Errorf("%s: %s: %+v", p.Info().Name, test.ID, got)
			}
		}
	}
}

// Only tests of level 3 sign in, even on a server that lets them.
func TestSignInsAreOfLevel3(t *testing.T) {
	ca := newCA(t)
	var heard atomic.Int32 // on level 3
	t.Run("protocols", func(t *testing.T) {
		for _, p := range protocol.All() {
			t.Run(p.Info().Name, func(t *testing.T) {
				t.Parallel()
				for _, test := range p.(starttls.Tester).Tests() {
					cfg := issue(t, ca, nil, name)
					cfg.Offer.Mode = starttls.Optional
					at := serveTelling(t, p, cfg, func(l starttls.Leak) {
						switch {
						case l.What != "sign-in":
						case test.Level >= 3:
							heard.Add(1)
						default:
							t.Errorf("%s: %s as %q", test.ID, l.Mechanism, l.User)
						}
					})
					newRun(at, Options{Name: name, Timeout: 2 * time.Second}).protocolTest(t.Context(), test)
				}
			})
		}
	})
	if heard.Load() == 0 {
		t.Error("nobody signs in on level 3 either")
	}
}

// What is known of whether TLS is required, and from what.
func TestRequired(t *testing.T) {
	ca := newCA(t)
	cfg := func() *starttls.Config { return issue(t, ca, nil, name) }
	optional := func() *starttls.Config { c := cfg(); c.Offer.Mode = starttls.Optional; return c }
	implicit := cfg()
	implicit.Mode = starttls.Implicit
	beginsWithTLS := serve(t, protocol.IMAP, implicit)
	beginsWithTLS.Implicit = true
	for _, c := range []struct {
		what  string
		at    Target
		level Level
		want  string
	}{
		{"the server says so", serve(t, protocol.IMAP, cfg()), Passive, "yes"},
		{"it offers a sign-in in clear", serve(t, protocol.IMAP, optional()), Passive, "no"},
		{"nothing is said of it", serve(t, protocol.Submission, cfg()), Handshake, "unknown"},
		{"it refuses a session", serve(t, protocol.Submission, cfg()), ActiveProbes, "yes"},
		{"it takes a session", serve(t, protocol.Submission, optional()), ActiveProbes, "no"},
		{"a mail exchanger takes one", serve(t, protocol.SMTP, optional()), ActiveProbes, "no"},
		{"a mail exchanger refuses one", stateFixtures(t, cfg())["mx-requires-tls"], ActiveProbes, "yes"},
		{"there is no TLS", target(protocol.Submission, says(t, "220 x\r\n", "250 x\r\n", "502 no\r\n")), ActiveProbes, "no"},
		{"nobody is there", target(protocol.SMTP, says(t)), ActiveProbes, "unknown"},
		{"it begins with TLS", beginsWithTLS, ActiveProbes, "yes"},
	} {
		r := Run(t.Context(), c.at, Options{Roots: ca.Pool(), Name: name, Level: c.level, Timeout: 2 * time.Second})
		if r.StartTLS.Required != c.want {
			t.Errorf("%s: %q, want %q; %s %+v", c.what, r.StartTLS.Required, c.want, r.Outcome, r.Error)
		}
	}
}

// A server is no anvil: the default check of mail stays at 20 connections, and
// of no protocol does it come near the limit.
func TestConnectionsOfTheDefault(t *testing.T) {
	ca := newCA(t)
	for _, p := range protocol.All() {
		most := 22
		if port := p.Info().Port; port == 25 || port == 587 {
			most = 20
		}
		if r := Run(t.Context(), serve(t, p, issue(t, ca, nil, name)), Options{Roots: ca.Pool(), Name: name}); r.Connections > most {
			t.Errorf("%s: %d connections", p.Info().Name, r.Connections)
		}
	}
}
