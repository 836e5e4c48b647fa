package starttls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
)

// clientTLS is the configuration of one client handshake.
func (c *Conn) clientTLS(info Info) *tls.Config {
	t := baseTLS(c.config, info)
	if t == c.config.TLS {
		t = t.Clone()
	}
	t.ServerName = c.config.serverName()
	if t.ClientSessionCache != nil {
		t.ClientSessionCache = scopedCache{t.ClientSessionCache, info.Name + " " + remote(c.Conn) + " "}
	}
	switch {
	case t.InsecureSkipVerify:
	case c.config.Mode == Opportunistic:
		c.verifyLater(t)
	default:
		next := t.VerifyConnection
		t.VerifyConnection = func(s tls.ConnectionState) error {
			if err := checkStaple(s); err != nil || next == nil {
				return err
			}
			return next(s)
		}
	}
	return t
}

// baseTLS is cfg.TLS with what p asks for. It is cfg.TLS itself where nothing
// must change: a server's copies would each have session ticket keys of their
// own, and no session could be resumed.
func baseTLS(cfg *Config, info Info) *tls.Config {
	if cfg.TLS == nil {
		cfg.TLS = new(tls.Config)
	}
	alpn := offersALPN(cfg, info) && len(cfg.TLS.NextProtos) == 0
	limit := info.MaxVersion != 0 && cfg.Mode != Implicit && (cfg.TLS.MaxVersion == 0 || cfg.TLS.MaxVersion > info.MaxVersion)
	least := cfg.TLS.MinVersion < info.MinVersion
	if !alpn && !limit && !least {
		return cfg.TLS
	}
	t := cfg.TLS.Clone()
	if alpn {
		t.NextProtos = slices.Clone(info.ALPN)
	}
	if limit {
		t.MaxVersion = info.MaxVersion
	}
	if least {
		t.MinVersion = info.MinVersion
	}
	return t
}

// offersALPN reports whether p's names are offered in this handshake.
func offersALPN(cfg *Config, info Info) bool {
	return len(info.ALPN) > 0 && (cfg.Mode == Implicit || info.ALPNUpgraded)
}

// verifyLater has the certificate verified as ever, but keeps the result
// instead of failing: an opportunistic client must know, and may go on
// (RFC 7435, section 3).
func (c *Conn) verifyLater(t *tls.Config) {
	t.InsecureSkipVerify = true
	next := t.VerifyConnection
	t.VerifyConnection = func(s tls.ConnectionState) error {
		c.unverified = verify(s, t)
		if next != nil {
			return next(s)
		}
		return nil
	}
}

func verify(s tls.ConnectionState, t *tls.Config) error {
	opts := x509.VerifyOptions{DNSName: t.ServerName, Roots: t.RootCAs, Intermediates: x509.NewCertPool()}
	if t.Time != nil {
		opts.CurrentTime = t.Time()
	}
	if t.ServerName == "" {
		return errors.New("no name to verify the certificate against")
	}
	for _, cert := range s.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := s.PeerCertificates[0].Verify(opts); err != nil {
		return err
	}
	return checkStaple(s)
}

// scopedCache keeps sessions of different services of one name apart: a ticket
// from one port must not be offered to another.
type scopedCache struct {
	tls.ClientSessionCache
	scope string
}

func (s scopedCache) Get(key string) (*tls.ClientSessionState, bool) {
	return s.ClientSessionCache.Get(s.scope + key)
}

func (s scopedCache) Put(key string, cs *tls.ClientSessionState) {
	s.ClientSessionCache.Put(s.scope+key, cs)
}
