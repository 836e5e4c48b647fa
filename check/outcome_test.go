package check

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// What ends before TLS was asked for, or before anything was understood, tells
// nothing of TLS: no finding, exit code 3.
func TestCouldNotTell(t *testing.T) {
	for name, c := range map[string]struct {
		protocol starttls.Protocol
		script   []string
		out      Outcome
	}{
		"throttled":           {protocol.SMTP, []string{"421 too many connections\r\n"}, Throttled},
		"client not wanted":   {protocol.SMTP, []string{"554 no service for you\r\n"}, Refused},
		"EHLO refused":        {protocol.Submission, []string{"220 x\r\n", "550 no\r\n"}, Refused},
		"another protocol":    {protocol.IMAP, []string{"SSH-2.0-x\r\n"}, NotUnderstood},
		"garbage in binary":   {protocol.LDAP, []string{"SSH-2.0-x\r\n"}, NotUnderstood},
		"no database":         {protocol.PostgreSQL, []string{"* OK x\r\n"}, NotUnderstood},
		"an endless line":     {protocol.POP3, []string{strings.Repeat("x", 9000)}, NotUnderstood},
		"closed at once":      {protocol.NNTP, nil, Closed},
		"closed before TLS":   {protocol.Submission, []string{"220 x\r\n"}, Closed},
		"silent":              {protocol.XMPPClient, []string{""}, TimedOut},
		"says too much in it": {protocol.Submission, []string{"220 x\r\n", "250-x\r\n250 SI\x00ZE\r\n"}, NotUnderstood},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Run(t.Context(), target(c.protocol, says(t, c.script...)), Options{Name: name, Timeout: time.Second})
			if r.Outcome != c.out || len(r.Findings) > 0 || r.Error == nil || r.Verdict != "failed" {
				t.Errorf("%s %s %v, error %+v", r.Verdict, r.Outcome, ids(r), r.Error)
			}
			if code := (Report{Results: []Result{r}}).ExitCode(Info); code != 3 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestInterruptedIsNoFinding(t *testing.T) {
	for stage, script := range map[string][]string{
		"cleartext": {""},
		"handshake": {"220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		silence := slices.Repeat([]string{""}, 100) // for each LF that may be in a ClientHello
		at := target(protocol.SMTP, says(t, append(script, silence...)...))
		time.AfterFunc(100*time.Millisecond, cancel)
		if r := Run(ctx, at, Options{Name: name}); r.Verdict != "failed" || len(r.Findings) > 0 || r.Error.Stage != stage {
			t.Errorf("%s: %s %s %v %+v", stage, r.Verdict, r.Outcome, ids(r), r.Error)
		}
	}
}

// What was found before the connection was lost is told, and decides; below
// --fail-on the target could not be told about.
func TestFindingsBeforeTheConnectionIsLost(t *testing.T) {
	at := target(protocol.SMTP, says(t, "220 x\r\n", "250-x\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n", "", ""))
	r := Run(t.Context(), at, Options{Name: name, Timeout: 300 * time.Millisecond})
	if r.Verdict != "failed" || r.Outcome != TimedOut || !slices.Equal(ids(r), []string{"auth-before-tls"}) {
		t.Errorf("%s %s %v", r.Verdict, r.Outcome, ids(r))
	}
	report := Report{Results: []Result{r}}
	if m, h := report.ExitCode(Medium), report.ExitCode(High); m != 1 || h != 3 {
		t.Errorf("exit codes %d and %d", m, h)
	}
}

// Between servers a verified certificate is worth little against an attacker:
// he hides the offer, and the sender goes on in clear.
func TestAttackerOfARelay(t *testing.T) {
	ca := newCA(t)
	for _, p := range protocol.All() {
		want := Against{Eavesdropper: "safe", Attacker: "safe"}
		if p.Info().Role == starttls.Relay {
			want.Attacker = "exposed"
		}
		r := Run(t.Context(), serve(t, p, issue(t, ca, nil, name)), Options{Roots: ca.Pool(), Name: name})
		if fix := r.Against.AttackerFix; (fix == "") != (want.Attacker == "safe") {
			t.Errorf("%s: fix %q", r.Protocol, fix)
		}
		r.Against.AttackerFix = ""
		if r.Verdict != "ok" || r.Level != "verify" || r.Against != want {
			t.Errorf("%s: %s, level %s, %+v", r.Protocol, r.Verdict, r.Level, r.Against)
		}
	}
}

// claims is a protocol whose server says just that, and nothing else.
type claims struct {
	starttls.Protocol
	hello starttls.Hello
}

func (c claims) Client(*starttls.Wire, starttls.Ask) (starttls.Hello, error) {
	return c.hello, starttls.ErrNotOffered
}

func TestSignInIsNotExposedWhereTLSIsRequired(t *testing.T) {
	addr := says(t, "")
	for _, required := range []bool{false, true} {
		p := claims{protocol.XMPPClient, starttls.Hello{Auth: []string{"PLAIN"}, Required: required}}
		r := Run(t.Context(), target(p, addr), Options{Name: name})
		if slices.Contains(ids(r), "auth-before-tls") == required {
			t.Errorf("required: %v, %v", required, ids(r))
		}
	}
}

func TestCertainFindingsDecideTheExitCode(t *testing.T) {
	bad := Result{Verdict: "findings", Findings: []Finding{{Severity: Medium, Verdict: "warn"}}}
	unsure := Result{Verdict: "failed"}
	for _, c := range []struct {
		results []Result
		failOn  Severity
		want    int
	}{
		{nil, Low, 0},
		{[]Result{{Verdict: "ok"}}, Low, 0},
		{[]Result{bad, unsure}, Medium, 1},
		{[]Result{unsure, bad}, Medium, 1},
		{[]Result{bad, unsure}, High, 3},
		{[]Result{bad}, High, 0},
	} {
		if got := (Report{Results: c.results}).ExitCode(c.failOn); got != c.want {
			t.Errorf("%+v at %s: %d, want %d", c.results, c.failOn, got, c.want)
		}
	}
}

// Every protocol that has a form that begins with TLS is checked in it.
func TestImplicitTLS(t *testing.T) {
	ca := newCA(t)
	for _, p := range protocol.All() {
		if p.Info().ImplicitTLS == 0 {
			continue
		}
		t.Run(p.Info().Name, func(t *testing.T) {
			t.Parallel()
			c := issue(t, ca, nil, name)
			c.Mode = starttls.Implicit
			c.TLS.NextProtos = p.Info().ALPN
			at := serve(t, p, c)
			at.Implicit = true
			r := Run(t.Context(), at, Options{Roots: ca.Pool(), Name: name, Transcript: true})
			if r.Verdict != "ok" || r.Level != "verify" || r.Against.Attacker != "safe" || len(r.StartTLS.Before) > 0 {
				t.Errorf("%s %s %v %+v\n%s", r.Verdict, r.Outcome, ids(r), r.Error, strings.Join(r.Transcript, "\n"))
			}
		})
	}
}

// A port that should begin with TLS and greets in clear consents to nothing.
func TestImplicitTLSOnAPortInClear(t *testing.T) {
	at := target(protocol.SMTP, says(t, "220 hello ESMTP\r\n"))
	at.Implicit = true
	r := Run(t.Context(), at, Options{Name: name})
	if r.Outcome != HandshakeFailed || r.StartTLS.Accepted || !strings.Contains(r.Error.Hint, "begin in cleartext") {
		t.Errorf("%s %+v", r.Outcome, r.Error)
	}
	if len(r.Findings) != 1 || r.Findings[0].Severity != High {
		t.Errorf("a port that begins with TLS is no relay: %+v", r.Findings)
	}
}

// A server that wants a certificate of the client lets the handshake succeed
// and then closes (TLS 1.3): its certificate and TLS are known all the same.
func TestSessionFails(t *testing.T) {
	ca := newCA(t)
	for _, p := range []starttls.Protocol{protocol.Sieve, protocol.IMAP} { // one speaks first inside, one does not
		c := issue(t, ca, nil, name)
		c.TLS.ClientAuth = tls.RequireAnyClientCert
		r := Run(t.Context(), serve(t, p, c), Options{Roots: ca.Pool(), Name: name})
		if r.Outcome != Upgraded || !r.Certificate.Verified || r.TLS.Version != "TLS 1.3" || !slices.Contains(ids(r), "probe-failed") {
			t.Errorf("%s: %s %v %+v", r.Protocol, r.Outcome, ids(r), r.Error)
		}
		if r.Error == nil || r.Error.Stage != "session" {
			t.Errorf("%s: error %+v", r.Protocol, r.Error)
		}
	}
}

func TestAddressThatTheServerSaw(t *testing.T) {
	for said, want := range map[string]string{
		"":                                    "",
		"nice to meet you":                    "",
		"Hello me [192.0.2.7], pleased":       "192.0.2.7",
		"at your service, [IPv6:2001:db8::1]": "2001:db8::1",
		"Hello ip=198.51.100.3":               "198.51.100.3",
	} {
		if got := address(said); got != want {
			t.Errorf("%q: %q", said, got)
		}
	}
}

// The second connection, which asks unoffered, sees much of the first again: no
// finding stands twice, and its evidence is the dialogue.
func TestHiddenOfferAndSignIn(t *testing.T) {
	ca := newCA(t)
	c := issue(t, ca, nil, name)
	c.Offer.Keyword = "AUTH PLAIN"
	r := Run(t.Context(), serve(t, protocol.Submission, c), Options{Roots: ca.Pool(), Name: name})
	if got := ids(r); !slices.Equal(got, []string{"auth-before-tls", "offer-removed"}) || r.Outcome != Stripped || r.Level != "none" {
		t.Errorf("%s %v", r.Outcome, got)
	}
	for _, f := range r.Findings {
		if !f.Bad() {
			continue
		}
		for _, l := range f.Evidence {
			if l[:3] != "C: " && l[:3] != "S: " {
				t.Errorf("%s: evidence %q", f.ID, l)
			}
		}
	}
}

// What is consented to unoffered was removed on the way, even if TLS then fails.
func TestHiddenOfferWithoutTLS(t *testing.T) {
	at := target(protocol.Submission, says(t, "220 x\r\n", "250 x\r\n", "220 go\r\n"))
	r := Run(t.Context(), at, Options{Name: name, Timeout: 2 * time.Second})
	if r.Outcome != Stripped || r.StartTLS.Offered || !r.StartTLS.Accepted || !slices.Equal(ids(r), []string{"offer-removed"}) {
		t.Errorf("%s %v %+v", r.Outcome, ids(r), r.StartTLS)
	}
}

func TestExposed(t *testing.T) {
	for auth, want := range map[string]string{
		"PLAIN LOGIN":   "server software, client address, client name, credentials",
		"SCRAM-SHA-256": "server software, client address, client name", // sends no password
	} {
		at := target(protocol.Submission, says(t, "220 x Server 1.0\r\n", "250-x Hello [192.0.2.7]\r\n250 AUTH "+auth+"\r\n", "502 no\r\n"))
		r := Run(t.Context(), at, Options{Name: name, Local: "client.example.test"})
		var got []string
		for _, e := range r.Exposed {
			got = append(got, e.What)
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: %s", auth, s)
		}
		if found := slices.Contains(ids(r), "auth-before-tls"); found != strings.Contains(want, "credentials") {
			t.Errorf("%s: %v", auth, ids(r))
		}
	}
}

// How the network words a connection's end is the same however it ends, and
// names no port of ours, which would be another one each time.
func TestConnectionThatIsReset(t *testing.T) {
	at := served(t, protocol.Submission, func(nc net.Conn) {
		replies(nc, "!220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n")
		nc.Read(make([]byte, 1)) // of the ClientHello: what is unread makes the end a reset
	})
	r := Run(t.Context(), at, Options{Name: name})
	if r.Outcome != HandshakeFailed || !strings.HasPrefix(r.Error.Message, "the server closed the connection") {
		t.Errorf("%s %+v", r.Outcome, r.Error)
	}
}
