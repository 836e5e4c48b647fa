package interop

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"example.org/starttls"
)

// What a server can do with a command that came behind the request for TLS.
const (
	closed     = "closed"            // it ends the connection, mostly because TLS finds the command in the place of a ClientHello
	refused    = "refused"           // it does not consent to TLS then
	discarded  = "discarded"         // it starts TLS, and never answers
	inClear    = "answered in clear" // it answers before TLS
	vulnerable = "vulnerable"        // it answers inside TLS
)

// injected is what each server does, or each in that protocol. Those that are
// vulnerable are so in the versions of Debian 12: InspIRCd 3.15.0, CUPS 2.4.2,
// Cyrus's httpd 3.6.1 and upsd 2.8.0. A server that does better by now has its
// entry changed.
var injected = map[string]string{
	"Postfix": discarded, "Dovecot": closed, "OpenLDAP": refused, "Prosody": inClear, "ProFTPD": discarded, "INN": discarded,
	"InspIRCd": vulnerable, "PostgreSQL": closed, "CUPS": vulnerable, "TigerVNC": closed, "xrdp": closed, "nats-server": closed,
	"nbdkit": closed, "MariaDB": closed,
	"Exim": discarded, "Cyrus IMAP": discarded, "Cyrus IMAP/http": vulnerable, "vsftpd": closed, "Pure-FTPd": discarded,
	"PgBouncer": refused, "QEMU": closed, "NUT": vulnerable,
}

// unheard are servers that answer no probe in clear where a session there would
// begin, and why.
var unheard = map[string]string{
	"TigerVNC":    "the probe belongs behind the choice of a security type",
	"xrdp":        "the probe belongs behind the negotiation",
	"nats-server": "it takes a ClientHello and nothing else",
	"nbdkit":      "the client's flags come before the probe",
	"QEMU":        "the client's flags come before the probe",
	"PgBouncer":   "in clear it says that TLS is required, and no more",
	"MariaDB":     "the probe has the number that is due behind a request for TLS",
}

const marker = "M7QZXVKA"

func (s service) injection(t testing.TB) starttls.Injection {
	t.Helper()
	s.skipIfErratic(t)
	return s.target(t).Protocol.(starttls.Injector).Injection(s.reference(), marker)
}

// bare brings a connection to the end of the handshake, or in clear to the
// resume point, and not a byte further.
func (s service) bare(t testing.TB, mode starttls.Mode, onAsk func([]byte) []starttls.Segment) (*starttls.Conn, error) {
	t.Helper()
	target := s.target(t)
	if target.Implicit {
		mode = starttls.Implicit
	}
	return starttls.Dial(t.Context(), target.Address, target.Protocol, &starttls.Config{
		Mode: mode, ServerName: s.reference(), LocalName: "client.example.test", TLS: &tls.Config{RootCAs: authority(t).Pool}, Bare: true, OnAsk: onAsk, Dialer: s.dialer,
		Timeouts: starttls.Timeouts{Cleartext: 5 * time.Second, Handshake: 5 * time.Second},
	})
}

// answer says something and reads until one of the two commands is answered, or
// the server has closed or says nothing more for 5 seconds.
func answer(conn net.Conn, say []byte, in starttls.Injection) (said []byte, r starttls.Reply) {
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err := conn.Write(say)
	buf := make([]byte, 4096)
	for err == nil && !r.Probe && !r.Control {
		var n int
		n, err = conn.Read(buf)
		said = append(said, buf[:n]...)
		r = in.Classify(said)
	}
	return said, r
}

// Every real server answers both commands of the injection test inside TLS, and
// the probe in clear, in words that are told apart.
func TestInjectionIsUnderstoodByRealServers(t *testing.T) {
	for _, s := range services {
		t.Run(s.server+"/"+s.scheme, func(t *testing.T) {
			t.Parallel()
			in := s.injection(t)
			for _, c := range []struct {
				what string
				mode starttls.Mode
				say  []byte
				want starttls.Reply
			}{
				{"control", starttls.Required, in.Control, starttls.Reply{Control: true}},
				{"probe", starttls.Required, in.Probe, starttls.Reply{Probe: true}},
				{"probe in clear", starttls.None, in.Probe, starttls.Reply{Probe: unheard[s.server] == ""}},
			} {
				conn, err := s.bare(t, c.mode, nil)
				check(t, err)
				defer conn.Close()
				if said, r := answer(conn, c.say, in); r != c.want {
					t.Errorf("%s: %+v of %q", c.what, r, said)
				}
			}
		})
	}
}

// What each real server does with a command behind the request for TLS is what
// is written down above, every time.
func TestInjectionIntoRealServers(t *testing.T) {
	for _, s := range services {
		t.Run(s.server+"/"+s.scheme, func(t *testing.T) {
			t.Parallel()
			if s.target(t).Implicit {
				t.Skip("there is no request for TLS")
			}
			want := cmp.Or(injected[s.server+"/"+s.scheme], injected[s.server])
			for range 3 {
				if got, why := s.inject(t); got != want {
					t.Errorf("%s, not %s: %s", got, want, why)
				}
			}
		})
	}
}

// inject says the probe in one segment with the request, and the control inside
// TLS. It returns what became of the probe, and what shows it.
func (s service) inject(t testing.TB) (outcome, why string) {
	t.Helper()
	in := s.injection(t)
	conn, err := s.bare(t, starttls.Required, func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: slices.Concat(msg, in.Probe)}}
	})
	if err != nil {
		var e *starttls.Error
		var crossed *starttls.InjectedError
		errors.As(err, &e) // as every error of Dial is
		switch {
		case errors.As(err, &crossed) && in.Classify(crossed.Bytes).Probe:
			return inClear, err.Error()
		case crossed == nil && e.Stage == starttls.StageCleartext:
			return refused, err.Error()
		}
		return closed, err.Error()
	}
	defer conn.Close()
	said, r := answer(conn, in.Control, in)
	switch why = starttls.Quote(said); {
	case r.Probe:
		return vulnerable, why
	case r.Control:
		return discarded, why
	}
	return closed, why
}
