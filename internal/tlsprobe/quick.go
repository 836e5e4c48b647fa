package tlsprobe

import (
	"context"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// WeakSuites are the traits of those that nobody should agree to any more.
// Anonymous ones are not among them: between mail servers they are as good as
// those with a certificate that nobody verifies.
const WeakSuites = tlswire.Null | tlswire.Export | tlswire.RC4 | tlswire.DES | tlswire.Block64

// Only offers nothing but suites of these traits, in TLS 1.2, on one connection:
// a server that accepts has at least the one it chose.
func (s *Server) Only(ctx context.Context, traits tlswire.Traits) (*Answer, error) {
	h := s.full(tlswire.TLS12, pick(tlswire.Suites(tlswire.TLS12), func(c tlswire.Suite) bool {
		return c.Is(traits) && !c.Is(tlswire.PSK|tlswire.Anonymous)
	}))
	h.Compression = nil
	return s.ask(ctx, h)
}

// Large sends one hello as new clients do, of more than 2 KiB, with GREASE and
// in two segments, to a server whose newest version is known. What is not
// accepted may be the server's fault or that of something on the way, and
// Tolerance tells which of the three it is about.
func (s *Server) Large(ctx context.Context, version uint16) (*Answer, error) {
	h := s.full(version, pick(tlswire.Suites(version), common))
	h.Compression = nil
	return s.askTwice(ctx, inTwo(grease(version, large(version, h))))
}
