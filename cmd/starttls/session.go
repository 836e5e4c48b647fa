package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"example.org/starttls"
	"example.org/starttls/check"

	"github.com/spf13/cobra"
)

// sessionFlags is how connect and send reach a server.
type sessionFlags struct {
	network
	signIn
	insecure bool
}

func (s *sessionFlags) flags(c *cobra.Command) {
	s.network.flags(c)
	s.signIn.flags(c)
	c.Flags().BoolVar(&s.insecure, "insecure", false, "accept any certificate; the level is then \"encrypt\"")
}

func (s *sessionFlags) prepare() error {
	if len(s.names) > 1 {
		return usagef("leave the others out", "--name can be given once here")
	}
	return s.network.prepare()
}

// config is how t is reached.
func (s *sessionFlags) config(t check.Target) *starttls.Config {
	name := s.name
	if name == "" {
		name = t.Host
	}
	cfg := &starttls.Config{ServerName: name, LocalName: s.ehlo, Dialer: s.dial,
		Timeouts: starttls.Timeouts{Dial: s.timeout, Cleartext: s.timeout, Handshake: s.timeout},
		TLS:      &tls.Config{RootCAs: s.roots, InsecureSkipVerify: s.insecure}}
	if t.Implicit {
		cfg.Mode = starttls.Implicit
	}
	return cfg
}

// open upgrades a connection to t, in the way that edit leaves.
func (s *sessionFlags) open(ctx context.Context, t check.Target, edit func(*starttls.Config)) (*starttls.Conn, error) {
	cfg := s.config(t)
	edit(cfg)
	return starttls.Dial(ctx, net.JoinHostPort(t.Host, strconv.Itoa(t.Port)), t.Protocol, cfg)
}

// explain gives an error of the library its exit code and a hint.
func explain(err error) error {
	if err == nil {
		return nil
	}
	code, hint := exitUnknown, ""
	var cert *tls.CertificateVerificationError
	var e *starttls.Error
	errors.As(err, &e)
	switch {
	case errors.As(err, &cert):
		code, hint = exitFindings, "trust the server's authority with --ca FILE, or name the server with --name HOST; starttls check tells more"
	case errors.Is(err, starttls.ErrNotOffered):
		code, hint = exitFindings, "starttls check tells more; --clear talks without TLS"
	case e != nil && e.Timeout():
		hint = "--timeout gives it longer"
	case e != nil && e.Stage != starttls.StageDial:
		code, hint = exitFindings, "starttls check tells more"
	case e != nil && e.Stage == starttls.StageDial:
		hint = "check the name and the port"
	}
	return &exit{code, err.Error(), hint}
}

// describe says on stderr what was negotiated.
func (a *app) describe(conn *starttls.Conn, t check.Target) {
	if conn.TLS() == nil {
		fmt.Fprintf(a.err, "%s: in clear (level none)\n", t)
		return
	}
	s := conn.TLS().ConnectionState()
	fmt.Fprintf(a.err, "%s: %s, %s, %s, level %s\n", t, tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.CurveID, conn.Level())
	if len(s.PeerCertificates) > 0 {
		c := s.PeerCertificates[0]
		fmt.Fprintf(a.err, "certificate for %s, until %s\n", starttls.Escape(strings.Join(c.DNSNames, " ")), c.NotAfter.UTC().Format("2006-01-02"))
	}
}
