package tlsprobe

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"math/big"
	"strings"
	"sync"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// primes.txt has the first eight bytes of the SHA-256 of primes that many
// servers share, and where they come from: the RFCs that define groups, the
// products that shipped them, and the groups that weakdh.org saw most.
//
//go:embed primes.txt
var primesText string

var knownPrimes = sync.OnceValue(func() map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(primesText) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		known[sum] = name
	}
	return known
})

// PrimeName tells where a well-known prime comes from; "" if it is not known. A
// prime that many share is worth an attacker's effort if it is short.
func PrimeName(p *big.Int) string {
	sum := sha256.Sum256(p.Bytes())
	return knownPrimes()[hex.EncodeToString(sum[:8])]
}

// DHE is a prime that the server uses for DHE.
type DHE struct {
	P, G   *big.Int
	Bits   int
	Name   string // see PrimeName
	Broken bool   // it is no prime; not looked into beyond 4096 bits
	Safe   bool   // (P-1)/2 is prime as well; likewise
	Suites []uint16
	Reused bool // the server's half was the same on several connections
}

// primality is the longest number that is tested: it takes 0.1 s.
const primality = 4096

// DHE lists the primes that the server uses in all its versions.
func (s *Server) DHE(ctx context.Context) ([]*DHE, error) {
	var out []*DHE
	seen := map[string]*DHE{}
	halves := map[string]bool{}
	for v := tlswire.SSL3; v < tlswire.TLS13; v++ {
		l, err := s.suspects(ctx, v)
		if err != nil {
			return nil, err
		}
		if l == nil {
			continue
		}
		for _, a := range l.Answers {
			k := a.KeyExchange
			if k == nil || k.P == nil {
				continue
			}
			d := seen[k.P.String()]
			if d == nil {
				d = newDHE(k)
				seen[k.P.String()] = d
				out = append(out, d)
			}
			d.Suites = append(d.Suites, a.Suite)
			d.Reused = d.Reused || halves[string(k.Public)]
			halves[string(k.Public)] = true
		}
	}
	return out, nil
}

func newDHE(k *tlswire.KeyExchange) *DHE {
	d := &DHE{P: k.P, G: k.G, Bits: k.P.BitLen(), Name: PrimeName(k.P)}
	switch {
	case strings.HasPrefix(d.Name, "RFC 7919") || strings.HasPrefix(d.Name, "RFC 3526") || strings.HasPrefix(d.Name, "RFC 2409"):
		d.Safe = true // as those RFCs promise
	case d.Bits <= primality:
		d.Broken = !k.P.ProbablyPrime(1)
		d.Safe = !d.Broken && new(big.Int).Rsh(k.P, 1).ProbablyPrime(1)
	}
	return d
}
