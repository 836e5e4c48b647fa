package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/starttls"
)

// Target is a service to check.
type Target struct {
	Protocol starttls.Protocol
	Implicit bool   // it begins with TLS
	Host     string // as it was typed
	Port     int
	Address  string // IP:PORT to connect to; empty: Host and Port
}

// String gives the target as a URL.
func (t Target) String() string {
	scheme := t.Protocol.Info().Name
	if t.Implicit {
		scheme += "s"
	}
	return scheme + "://" + net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
}

// Options is how to check. The zero value verifies against the system's roots.
type Options struct {
	Roots   *x509.CertPool      // nil: the system's
	Given   []*x509.Certificate // the roots given by hand: a server that presents one itself is trusted
	Name    string              // whom the certificate must name; empty: the target's host
	Local   string              // what we call ourselves; empty: "localhost"
	Timeout time.Duration       // of one phase of one connection; 0: 10 s
	Soon    time.Duration       // "expires soon" is less than this; 0: 14 days
	Dialer  func(ctx context.Context, network, addr string) (net.Conn, error)
	Now     func() time.Time // nil: time.Now

	Transcript bool // keep the dialogue in the result
}

// Run checks t at one address. What goes wrong is in the Result.
func Run(ctx context.Context, t Target, o Options) Result {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Soon <= 0 {
		o.Soon = 14 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if t.Address == "" {
		t.Address = net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
	}
	if o.Name == "" {
		o.Name = t.Host
	}
	r := &run{target: t, options: o, start: time.Now()}
	r.Result = Result{Target: t.String(), Protocol: t.Protocol.Info().Name, Address: t.Address, ServerName: o.Name, Level: "none",
		StartTLS:    StartTLS{Implicit: t.Implicit, Before: []string{}, After: []string{}},
		Certificate: Certificate{Chain: []Cert{}}, Exposed: []Exposed{}, Findings: []Finding{},
		Against: Against{"exposed", "exposed"}}
	r.upgrade(ctx)
	r.conclude()
	return r.Result
}

// run is one check under way.
type run struct {
	Result
	target  Target
	options Options
	start   time.Time
	asked   bool                 // TLS was asked for on the last connection
	seen    *tls.ConnectionState // its handshake, once the certificate came; nil before
	unsure  bool                 // the connection ended before anything could be told of TLS
}

// dial makes one connection, asking for TLS even unoffered if blind is set.
// The certificate is verified afterwards, so that it is seen in any case.
func (r *run) dial(ctx context.Context, blind bool, newest uint16) (*starttls.Conn, error) {
	r.asked, r.seen = false, nil
	cfg := &starttls.Config{ServerName: r.options.Name, LocalName: r.options.Local, Blind: blind, Dialer: r.options.Dialer,
		Timeouts: starttls.Timeouts{Dial: r.options.Timeout, Cleartext: r.options.Timeout, Handshake: r.options.Timeout},
		TLS: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: newest,
			VerifyConnection: func(s tls.ConnectionState) error {
				r.seen = &s // kept even if the connection fails after it
				return nil
			}},
		OnAsk: func(msg []byte) []starttls.Segment {
			r.asked = true
			return []starttls.Segment{{Data: msg}}
		}}
	if r.target.Implicit {
		cfg.Mode = starttls.Implicit
	}
	return starttls.Dial(ctx, r.target.Address, r.target.Protocol, cfg)
}

func (r *run) upgrade(ctx context.Context) {
	conn, err := r.dial(ctx, false, 0)
	var e *starttls.Error
	if errors.As(err, &e) {
		r.said(e.Before, e.Transcript, e.Timings)
		conn = r.failed(ctx, e)
	}
	if conn == nil {
		return
	}
	defer conn.Close()
	r.said(conn.Before(), conn.Transcript(), conn.Timings())
	r.negotiated(conn.TLS().ConnectionState())
	r.inside(ctx, conn)
	r.oldVersions(ctx)
}

// said takes down what the server said in clear, and how long it took.
func (r *run) said(h starttls.Hello, t starttls.Transcript, times starttls.Timings) {
	r.Milliseconds.Dial = milliseconds(times.Dial)
	r.Milliseconds.Cleartext = milliseconds(times.Cleartext)
	r.Milliseconds.Handshake = milliseconds(times.Handshake)
	r.dialogue(t)
	if r.target.Implicit {
		return
	}
	r.StartTLS.Offered = r.StartTLS.Offered || h.Offered
	r.StartTLS.Before = append([]string{}, h.Caps...)
	r.expose(h, t)
}

func (r *run) dialogue(t starttls.Transcript) {
	r.Transcript = nil
	for _, e := range t {
		r.Transcript = append(r.Transcript, e.Lines()...)
	}
}

// expose notes what went in clear, or could have.
func (r *run) expose(h starttls.Hello, t starttls.Transcript) {
	r.Exposed = []Exposed{}
	add := func(what, text string) {
		if text = strings.TrimSpace(text); text != "" {
			r.Exposed = append(r.Exposed, Exposed{what, text})
		}
	}
	add("server software", h.Software)
	add("client address", address(h.ClientSeen))
	if said := []byte(r.options.Local); len(said) > 0 && slices.ContainsFunc(t, func(e starttls.Entry) bool { return e.From == starttls.ClientSide && bytes.Contains(e.Data, said) }) {
		add("client name", r.options.Local)
	}
	if clearSecrets(h.Auth) && !r.target.Protocol.Info().Binary && !h.Required {
		mechanisms := strings.Join(h.Auth, ", ")
		add("credentials", mechanisms)
		r.add("auth-before-tls", "before TLS the server offers "+starttls.Escape(mechanisms)+": a careless client sends its password in clear")
	}
}

// address finds the IP address in what a server says of its client, such as
// "Hello host [192.0.2.7], pleased to meet you"; "" if there is none.
func address(text string) string {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t[]()<>,;=", c) }) {
		if a, err := netip.ParseAddr(strings.TrimPrefix(word, "IPv6:")); err == nil {
			return a.String()
		}
	}
	return ""
}

// clearSecrets reports whether one of the mechanisms sends the password itself.
func clearSecrets(mechanisms []string) bool {
	return slices.ContainsFunc(mechanisms, func(m string) bool {
		return slices.Contains([]string{"PLAIN", "LOGIN", "USER", "XOAUTH2", "OAUTHBEARER"}, m)
	})
}

// negotiated takes down the handshake's result and judges the certificate.
func (r *run) negotiated(s tls.ConnectionState) {
	r.Outcome, r.StartTLS.Accepted = Upgraded, true
	r.TLS = TLS{Version: tls.VersionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite), ALPN: s.NegotiatedProtocol}
	if s.CurveID != 0 {
		r.TLS.Group = s.CurveID.String()
	}
	r.certificate(s.PeerCertificates, r.options.Name)
	if s.Version < tls.VersionTLS12 {
		r.add("old-tls", "the best version that the server has is "+r.TLS.Version)
	}
}

// inside asks again inside TLS.
func (r *run) inside(ctx context.Context, conn *starttls.Conn) {
	if _, ok := r.target.Protocol.(starttls.Prober); !ok {
		return
	}
	h, err := conn.Probe(ctx)
	r.dialogue(conn.Transcript())
	r.StartTLS.After = append([]string{}, h.Caps...)
	var e *starttls.Error
	if errors.As(err, &e) {
		r.sessionFailed(e)
		return
	}
	if h.Offered && r.target.Protocol.Info().HelloInTLS {
		r.add("starttls-in-tls", "", r.lastLines(8)...)
	} else if h.Offered {
		r.add("starttls-in-tls-allowed", "")
	}
}

// oldVersions tries once with nothing newer than TLS 1.1.
func (r *run) oldVersions(ctx context.Context) {
	if r.TLS.Version < "TLS 1.2" {
		return
	}
	if conn, err := r.dial(ctx, false, tls.VersionTLS11); err == nil {
		version := tls.VersionName(conn.TLS().ConnectionState().Version)
		conn.Close()
		r.add("old-tls", "the server accepts "+version)
	}
}

// relay tells whether the target is one that senders use opportunistically.
// Nobody falls back from a port that begins with TLS.
func (r *run) relay() bool { return r.target.Protocol.Info().Relay && !r.target.Implicit }

// conclude draws the verdict from what was found.
func (r *run) conclude() {
	r.Milliseconds.Total = milliseconds(time.Since(r.start))
	if r.Outcome == Upgraded {
		r.Level, r.Against.Eavesdropper = "encrypt", "safe"
		if r.Certificate.Verified {
			r.Level = "verify"
			if !r.relay() { // a sending server falls back to cleartext unless a policy tells it not to
				r.Against.Attacker = "safe"
			}
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return slices.Index(severities, b.Severity) - slices.Index(severities, a.Severity)
	})
	worst := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity.AtLeast(Low) })
	switch {
	case r.unsure:
		r.Verdict = "failed"
	case worst:
		r.Verdict = "findings"
	case r.Outcome == Upgraded:
		r.Verdict = "ok"
	default:
		r.Verdict = "failed"
	}
	if !r.options.Transcript {
		r.Transcript = nil
	}
}
