package tlsprobe

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// padding is one way of being right or wrong in the padding of PKCS #1 v1.5
// around the premaster secret (RFC 8017, section 7.2; RFC 5246, section
// 7.4.7.1).
type padding int

const (
	wellFormed   padding = iota
	wrongType            // does not begin with 00 02
	misplaced            // the zero that ends the padding is too late
	unterminated         // there is no such zero
	wrongVersion         // well formed, with another version in the secret
	paddings
)

// ROBOT sends five differently padded secrets, each on a connection of its own,
// and compares what the server makes of them. A server whose answers differ
// deciphers any recording for who asks often enough (Bleichenbacher 1998, ROBOT
// 2017). Both with what follows the secret in a handshake, and if that shows no
// difference, without it: at most ten connections, ten more to be certain of a
// difference, and not one more, so no oracle is used.
func (s *Server) ROBOT(ctx context.Context) (Finding, error) {
	v, err := s.newest(ctx, tlswire.TLS12)
	if err != nil || v == nil {
		return whether(err, "version before TLS 1.3")
	}
	suites := pick(tlswire.Suites(v.Version), func(s tlswire.Suite) bool { return s.TransportsRSA() && common(s) })
	var alike []string
	for _, short := range []bool{false, true} {
		first, evidence, err := s.oracle(ctx, v.Version, suites, short)
		if err != nil {
			return Finding{}, err
		}
		if first == nil {
			return without("RSA key exchange")
		}
		if same(first) {
			alike = append(alike, first[0])
			if short {
				return Finding{Safe, "the answers are alike: " + strings.Join(alike, ", then "), evidence[:1]}, nil
			}
			continue
		}
		second, _, err := s.oracle(ctx, v.Version, suites, short)
		if err != nil {
			return Finding{}, err
		}
		if !slices.Equal(first, second) {
			return Finding{Inconclusive, "the answers differ from one time to the next", evidence}, nil
		}
		detail := "a weak oracle"
		if !same(first[wrongType : unterminated+1]) {
			detail = "a strong oracle"
		}
		return Finding{Vulnerable, detail + ": it answers differently padded secrets differently", evidence}, nil
	}
	panic("unreachable")
}

func same(s []string) bool { return len(slices.Compact(slices.Clone(s))) == 1 }

// oracle asks once with each padding. The answers are nil where the server has
// no RSA key exchange.
func (s *Server) oracle(ctx context.Context, version uint16, suites []uint16, short bool) (answers []string, evidence []Exchange, err error) {
	for p := range paddings {
		answer, e, err := s.oracleAnswer(ctx, s.hello(version, suites), p, short)
		if err != nil || answer == "" {
			return nil, nil, err
		}
		answers, evidence = append(answers, answer), append(evidence, e)
	}
	return answers, evidence, nil
}

// oracleAnswer puts in a word what the server makes of one secret; "" where it
// comes not so far.
func (s *Server) oracleAnswer(ctx context.Context, h *Hello, p padding, short bool) (string, Exchange, error) {
	x, err := s.open(ctx)
	if err != nil {
		return "", Exchange{}, err
	}
	defer x.close()
	a, err := x.send(h)
	if err != nil || !a.Whole || a.Version >= tlswire.TLS13 {
		return "", Exchange{}, err
	}
	key, err := rsaKey(a.Chain)
	if err != nil || key.Size() < 64 {
		return "", Exchange{}, nil
	}
	x.Sent, x.Received = nil, nil
	suite := tlswire.SuiteByID(a.Suite)
	rest := []tlswire.Record{{Type: tlswire.AlertRecord, Version: a.Version, Body: []byte{tlswire.Warning, tlswire.CloseNotify}}}
	if !short {
		finished := make([]byte, 64)
		rand.Read(finished)
		rest = []tlswire.Record{{Type: tlswire.ChangeCipherSpecRecord, Version: a.Version, Body: []byte{1}},
			{Type: tlswire.HandshakeRecord, Version: a.Version, Body: finished}}
	}
	message := tlswire.MarshalClientKeyExchange(suite, encrypt(key, p.block(key.Size(), h.Version)))
	err = x.WriteRecords(append(tlswire.Cut(tlswire.HandshakeRecord, a.Version, message, 0), rest...)...)
	if err == nil {
		_, err = x.ReadMessage()
	}
	if ctx.Err() != nil {
		return "", Exchange{}, context.Cause(ctx)
	}
	said := new(Answer)
	if err != nil {
		said.ended(err)
	}
	answer := said.Outcome.String()
	if said.Alert != nil {
		answer = said.Alert.Name()
	}
	return answer, Exchange{x.Sent, x.Received}, nil
}

// block is the padded secret, as many bytes as the key has.
func (p padding) block(size int, version uint16) []byte {
	secret := binary.BigEndian.AppendUint16(nil, version)
	secret = append(secret, bytes.Repeat([]byte{0xa5}, 46)...)
	b := append([]byte{0, 2}, bytes.Repeat([]byte{0x5a}, size-2)...)
	zero := size - len(secret) - 1
	b[zero] = 0
	copy(b[zero+1:], secret)
	switch p {
	case wrongType:
		b[0], b[1] = 0x41, 0x17
	case misplaced:
		b[zero], b[zero+1], b[size-2] = 0x5a, 0x5a, 0
	case unterminated:
		b[zero], b[zero+1] = 0x5a, 0x5a
	case wrongVersion:
		b[zero+1], b[zero+2] = 2, 2
	}
	return b
}

// encrypt is RSA without any padding of its own.
func encrypt(key *rsa.PublicKey, block []byte) []byte {
	m := new(big.Int).SetBytes(block)
	m.Mod(m, key.N) // a first byte of 41 may be too much
	return m.Exp(m, big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, key.Size()))
}
