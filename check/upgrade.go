package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"example.org/starttls"
)

// visit is one connection of a check.
type visit struct {
	conn *starttls.Conn
	err  error
	seen *tls.ConnectionState // its handshake, once the certificate came, even if the connection failed after it
}

// visit connects and upgrades. edit, if not nil, changes the configuration. A
// server that throttles is given a rest and tried again.
func (r *run) visit(ctx context.Context, edit func(*starttls.Config)) (v visit) {
	cfg := r.config(&v)
	if edit != nil {
		edit(cfg)
	}
	for {
		if err := r.connector.turn(ctx); err != nil {
			v.err = &starttls.Error{Protocol: r.Protocol, Addr: r.target.Address, Stage: starttls.StageDial, Err: err}
			return v
		}
		v.conn, v.err = starttls.Dial(ctx, r.target.Address, r.target.Protocol, cfg)
		if !throttles(v.err) || !r.connector.slowDown(v.err) {
			return v
		}
	}
}

// config is that of every connection to the target. The certificate is verified
// afterwards, so that it is seen in any case, by v.
func (r *run) config(v *visit) *starttls.Config {
	cfg := &starttls.Config{ServerName: r.options.Name, LocalName: r.options.Local, Dialer: r.connector.open, Blind: r.blind,
		Timeouts: starttls.Timeouts{Dial: r.options.Timeout, Cleartext: r.options.Timeout, Handshake: r.options.Timeout},
		TLS: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10,
			VerifyConnection: func(s tls.ConnectionState) error {
				v.seen = &s
				return nil
			}}}
	if r.target.Implicit {
		cfg.Mode = starttls.Implicit
	}
	return cfg
}

// upgrade makes the first visit, and reports whether it came to a session
// inside TLS that further tests can be made in.
func (r *run) upgrade(ctx context.Context) bool {
	v := r.visit(ctx, nil)
	var e *starttls.Error
	if errors.As(v.err, &e) {
		r.said(e.Before, e.Transcript, e.Timings)
		v = r.failed(ctx, v, e)
	}
	if v.conn == nil {
		return false
	}
	defer v.conn.Close()
	r.said(v.conn.Before(), v.conn.Transcript(), v.conn.Timings())
	r.negotiated(v.conn.TLS().ConnectionState())
	if r.blind { // no ordinary client gets here
		r.Outcome = Stripped
	}
	return r.inside(ctx, v.conn)
}

// said takes down what the server said in clear, and how long it took.
func (r *run) said(h starttls.Hello, t starttls.Transcript, times starttls.Timings) {
	r.timed(times)
	r.dialogue(t)
	if r.target.Implicit {
		return
	}
	r.hello = h
	r.StartTLS.Offered = r.StartTLS.Offered || h.Offered
	r.StartTLS.Before = append([]string{}, h.Caps...)
	r.expose(h, t)
}

func (r *run) timed(t starttls.Timings) {
	r.Milliseconds.Dial = milliseconds(t.Dial)
	r.Milliseconds.Cleartext = milliseconds(t.Cleartext)
	r.Milliseconds.Handshake = milliseconds(t.Handshake)
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
	r.TLS = describeTLS(s)
	r.certificate(s.PeerCertificates, r.options.Name)
	r.served, r.version = s.PeerCertificates, s.Version
	r.staple(s)
	if r.Certificate.Verified && r.options.Roots == nil && !signedTimestamps(s.PeerCertificates[0]) && len(s.SignedCertificateTimestamps) == 0 {
		r.add("cert-not-logged", "")
	}
}

func describeTLS(s tls.ConnectionState) TLS {
	t := TLS{Version: tls.VersionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite), ALPN: s.NegotiatedProtocol}
	if s.CurveID != 0 {
		t.Group = s.CurveID.String()
	}
	return t
}

// inside asks again inside TLS, and reports whether the session lives.
func (r *run) inside(ctx context.Context, conn *starttls.Conn) bool {
	if _, ok := r.target.Protocol.(starttls.Prober); !ok {
		return true
	}
	h, err := conn.Probe(ctx)
	r.dialogue(conn.Transcript())
	r.StartTLS.After = append([]string{}, h.Caps...)
	var e *starttls.Error
	if errors.As(err, &e) {
		return r.greetsAgain(ctx, e) || r.sessionFailed(e)
	}
	if h.Offered && r.target.Protocol.Info().HelloInTLS {
		r.add("starttls-in-tls", "", r.lastLines(8)...)
	} else if h.Offered {
		r.add("starttls-in-tls-allowed", "")
	}
	return true
}

// olderThan tries once with nothing as new as the version given.
func (r *run) olderThan(ctx context.Context, least uint16) trial {
	if r.version < least {
		return trial{verdict: Warn, detail: "the best version that the server has is " + r.TLS.Version}
	}
	v := r.visit(ctx, func(c *starttls.Config) { c.TLS.MaxVersion = least - 1 })
	var e *starttls.Error
	switch {
	case v.err != nil && v.seen != nil: // and then broke off, for want of a client's certificate mostly
		return trial{verdict: Warn, detail: "the server accepts " + tls.VersionName(v.seen.Version)}
	case errors.As(v.err, &e) && e.Stage == starttls.StageHandshake && !e.Timeout() && ctx.Err() == nil:
		return trial{verdict: Passed, detail: "the server refuses all that is older than " + tls.VersionName(least)}
	case v.err != nil:
		return r.notMade(ctx, v.err)
	}
	defer v.conn.Close()
	return trial{verdict: Warn, detail: "the server accepts " + tls.VersionName(v.conn.TLS().ConnectionState().Version)}
}
