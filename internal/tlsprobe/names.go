package tlsprobe

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strings"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// baseline gives the newest version but SSL, and a maker of hellos for it that
// ask for all there is; nil where the server has none.
func (s *Server) baseline(ctx context.Context) (*Version, func() *Hello, error) {
	v, err := s.newest(ctx, tlswire.TLS13)
	if err != nil || v == nil || v.Version < tlswire.TLS10 {
		return nil, nil, err
	}
	wanted := common
	if v.Version == tlswire.TLS13 && v.Answer.Whole {
		wanted = tlswire.Suite.CanSchedule // the server has one that can be read
	}
	return v, func() *Hello {
		h := s.full(v.Version, pick(tlswire.Suites(v.Version), wanted))
		h.Compression = nil
		return h
	}, nil
}

// ALPN is how the server takes application protocol names (RFC 7301), each with
// the newest version it has. A nil answer was not asked for.
type ALPN struct {
	Right *Answer // to the names that are right here
	Wrong *Answer // to one that is not: section 3.2 wants no_application_protocol, or else ALPACA works
	None  *Answer // to a hello without the extension
}

// Protocols asks for right names, a wrong one, and none.
func (s *Server) Protocols(ctx context.Context) (*ALPN, error) {
	v, hello, err := s.baseline(ctx)
	if err != nil || v == nil {
		return nil, err
	}
	out := &ALPN{}
	wrong := "http/1.1"
	if slices.Contains(s.ALPN, wrong) {
		wrong = "ftp"
	}
	if out.Wrong, err = s.askTwice(ctx, hello().with(tlswire.Protocols(wrong))); err != nil {
		return out, err
	}
	if len(s.ALPN) == 0 {
		out.None = v.Answer
		return out, nil
	}
	out.Right = v.Answer
	out.None, err = s.askTwice(ctx, hello().without(tlswire.ExtALPN))
	return out, err
}

// SNI is how the server takes host names (RFC 6066, section 3), each with the
// newest version it has. RFC 8461, section 7.1, wants a certificate in any case.
type SNI struct {
	None    *Answer // to a hello without a name
	Unknown *Answer // to one for unknown.invalid
}

// Names asks without a name, and for one that no server has.
func (s *Server) Names(ctx context.Context) (*SNI, error) {
	v, hello, err := s.baseline(ctx)
	if err != nil || v == nil {
		return nil, err
	}
	out := &SNI{None: v.Answer}
	if sni(s.Name) != "" {
		if out.None, err = s.askTwice(ctx, hello().without(tlswire.ExtServerName)); err != nil {
			return out, err
		}
	}
	out.Unknown, err = s.askTwice(ctx, hello().with(tlswire.ServerName("unknown.invalid")))
	return out, err
}

// Certificates are the answers that show the server's certificates of both
// kinds: many have two, and only one may be in order. nil: it has none.
type Certificates struct{ RSA, EC *Answer }

// Certificates asks with hellos that only one kind of certificate can satisfy.
// Certificates with keys of EdDSA count as EC.
func (s *Server) Certificates(ctx context.Context) (*Certificates, error) {
	v, hello, err := s.baseline(ctx)
	if err != nil || v == nil {
		return nil, err
	}
	out := &Certificates{}
	for _, rsaKey := range []bool{true, false} {
		a := v.Answer // it shows one of them
		if kind(a) == 0 || (kind(a) == rsaKind) != rsaKey {
			if a, err = s.askTwice(ctx, onlyKind(v.Version, hello(), rsaKey)); err != nil {
				return out, err
			}
		}
		switch {
		case kind(a) == rsaKind && rsaKey:
			out.RSA = a
		case kind(a) == ecKind && !rsaKey:
			out.EC = a
		}
	}
	return out, nil
}

// Kinds of certificates; 0 is another one, or none was seen.
const (
	rsaKind = iota + 1
	ecKind
)

func kind(a *Answer) int {
	if len(a.Chain) == 0 {
		return 0
	}
	cert, err := x509.ParseCertificate(a.Chain[0])
	if err != nil {
		return 0
	}
	switch cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return rsaKind
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return ecKind
	}
	return 0
}

// onlyKind makes h one that only a certificate of that kind can satisfy: by its
// signature schemes, and before TLS 1.3 by its suites.
func onlyKind(version uint16, h *Hello, rsaKey bool) *Hello {
	h.Suites = pick(h.Suites, func(s tlswire.Suite) bool {
		return s.From == tlswire.TLS13 || !s.Is(tlswire.Anonymous) && strings.Contains(s.Name, "_ECDSA_") != rsaKey
	})
	if version < tlswire.TLS12 {
		return h
	}
	schemes := slices.DeleteFunc(tlswire.AllSchemes(), func(id uint16) bool {
		return strings.HasPrefix(tlswire.SchemeName(id), "rsa_") != rsaKey
	})
	return h.with(tlswire.Schemes(schemes))
}
