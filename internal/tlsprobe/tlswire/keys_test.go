package tlswire

import (
	"bytes"
	"crypto/mlkem"
	"errors"
	"math/big"
	"slices"
	"testing"
)

// What one end seals the other opens, in every suite that can be finished, and
// nothing that was changed on the way. That the keys are right is for the tests
// against real servers to show.
func TestProtections(t *testing.T) {
	tested := 0
	for _, v := range []uint16{TLS10, TLS11, TLS12} {
		for _, id := range Suites(v) {
			suite := SuiteByID(id)
			if !suite.CanFinish() {
				continue
			}
			tested++
			ends := func() (fromClient, fromServer Protection) {
				c, s, err := NewPRF(v, suite).Protections(make([]byte, 48), [32]byte{1}, [32]byte{2})
				if err != nil {
					t.Fatal(suite.Name, err)
				}
				return c, s
			}
			client, _ := ends()
			server, other := ends()
			for i := range 3 {
				r := Record{HandshakeRecord, v, bytes.Repeat([]byte{byte(i)}, 40*i)}
				sealed := client.Seal(r)
				if i > 0 && bytes.Contains(sealed.Body, r.Body) {
					t.Errorf("%s in %s: not encrypted", suite.Name, VersionName(v))
				}
				got, err := server.Open(sealed)
				if err != nil || got.Type != r.Type || !bytes.Equal(got.Body, r.Body) {
					t.Fatalf("%s in %s: record %d: %x, %v", suite.Name, VersionName(v), i, got.Body, err)
				}
			}
			sealed := client.Seal(Record{HandshakeRecord, v, []byte("text")})
			if _, err := other.Open(sealed); !errors.Is(err, ErrOpen) {
				t.Errorf("%s: opened with the keys of the other direction: %v", suite.Name, err)
			}
			sealed.Body[len(sealed.Body)/2] ^= 1
			if _, err := server.Open(sealed); !errors.Is(err, ErrOpen) {
				t.Errorf("%s: opened after a change: %v", suite.Name, err)
			}
			for n := range 24 {
				if _, err := server.Open(Record{HandshakeRecord, v, make([]byte, n)}); err == nil {
					t.Errorf("%s: opened %d zeros", suite.Name, n)
				}
			}
		}
	}
	if tested < 40 {
		t.Errorf("only %d suites were tested", tested)
	}
}

func TestProtection13(t *testing.T) {
	for _, id := range pickSuites(TLS13, Suite.CanSchedule) {
		ends := func() (client, server Protection) {
			s := NewSchedule(SuiteByID(id), nil)
			client, server, err := s.Handshake([]byte("shared"), []byte("transcript"))
			if err != nil {
				t.Fatal(err)
			}
			return client, server
		}
		client, _ := ends()
		server, _ := ends()
		for i := range 3 {
			r := Record{AlertRecord, TLS12, []byte{2, byte(i)}}
			sealed := client.Seal(r)
			if sealed.Type != ApplicationData {
				t.Errorf("the type shows: %d", sealed.Type)
			}
			got, err := server.Open(sealed)
			if err != nil || got.Type != r.Type || !bytes.Equal(got.Body, r.Body) {
				t.Fatalf("record %d: %v, %v", i, got, err)
			}
		}
		for n := range 24 {
			if _, err := server.Open(Record{ApplicationData, TLS12, make([]byte, n)}); !errors.Is(err, ErrOpen) {
				t.Errorf("opened %d zeros: %v", n, err)
			}
		}
		ccs := Record{ChangeCipherSpecRecord, TLS12, []byte{1}}
		if got := client.Seal(ccs); !bytes.Equal(got.Body, ccs.Body) {
			t.Error("a ChangeCipherSpec was sealed")
		}
	}
}

func pickSuites(v uint16, f func(Suite) bool) []uint16 {
	return slices.DeleteFunc(Suites(v), func(id uint16) bool { return !f(SuiteByID(id)) })
}

func TestKeyShares(t *testing.T) {
	for _, group := range []uint16{X25519, P256, P384, P521} {
		a, err := NewKeyShare(group)
		b, err2 := NewKeyShare(group)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		ab, err := a.Secret(b.Public)
		ba, err2 := b.Secret(a.Public)
		if err := errors.Join(err, err2); err != nil || !bytes.Equal(ab, ba) {
			t.Errorf("%s: %x, %x, %v", GroupName(group), ab, ba, err)
		}
		if _, err := a.Secret([]byte("no point")); err == nil {
			t.Errorf("%s: a secret was agreed on with nothing", GroupName(group))
		}
	}
	if _, err := NewKeyShare(X448); err == nil || CanShare(X448) {
		t.Error("a share of X448 was made")
	}
}

// A server's half of a hybrid, made by hand: first ML-KEM for X25519, last for
// the NIST curves (draft-ietf-tls-ecdhe-mlkem, section 4).
func TestHybridShare(t *testing.T) {
	for _, c := range []struct {
		group, curve uint16
		point        int
		kemFirst     bool
	}{{X25519MLKEM768, X25519, 32, true}, {SecP256r1MLKEM768, P256, 65, false}} {
		share, err := NewKeyShare(c.group)
		classic, err2 := NewKeyShare(c.curve)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		kem, point := share.Public[:mlkem.EncapsulationKeySize768], share.Public[mlkem.EncapsulationKeySize768:]
		if !c.kemFirst {
			point, kem = share.Public[:c.point], share.Public[c.point:]
		}
		ek, err := mlkem.NewEncapsulationKey768(kem)
		if err != nil {
			t.Fatal(err)
		}
		kemSecret, ct := ek.Encapsulate()
		classicSecret, err := classic.Secret(point)
		if err != nil {
			t.Fatal(err)
		}
		answer, want := slices.Concat(ct, classic.Public), slices.Concat(kemSecret, classicSecret)
		if !c.kemFirst {
			answer, want = slices.Concat(classic.Public, ct), slices.Concat(classicSecret, kemSecret)
		}
		if got, err := share.Secret(answer); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", GroupName(c.group), err)
		}
		if _, err := share.Secret(answer[1:]); err == nil {
			t.Errorf("%s: a half cut short was taken", GroupName(c.group))
		}
	}
}

func TestKeyExchange(t *testing.T) {
	p, g := big.NewInt(0xfffffffb), big.NewInt(2)
	dhe, ecdhe := DHEParams(p, g, []byte("Ys")), ECDHEParams(X25519, []byte("point"))
	for _, c := range []struct {
		version, suite uint16
		params         []byte
		scheme         uint16
		signature      []byte
		check          func(*KeyExchange) bool
	}{
		{TLS12, 0x009e, dhe, PSSSHA256, []byte("signed"), func(k *KeyExchange) bool {
			return k.P.Cmp(p) == 0 && k.G.Cmp(g) == 0 && k.Bits() == 32 && string(k.Public) == "Ys" && k.Scheme == PSSSHA256
		}},
		{TLS10, 0x0033, dhe, 0, []byte("signed"), func(k *KeyExchange) bool { return k.Bits() == 32 && string(k.Signature) == "signed" }},
		{TLS12, 0x0034, dhe, 0, nil, func(k *KeyExchange) bool { return k.Bits() == 32 && k.Signature == nil }}, // anonymous
		{TLS12, 0xc02f, ecdhe, PKCS1SHA256, []byte("signed"), func(k *KeyExchange) bool {
			return k.Group == X25519 && string(k.Public) == "point" && k.Bits() == 0 && bytes.Equal(k.Params, ecdhe)
		}},
		{TLS10, 0x0003, ExportParams(p), 0, []byte("signed"), func(k *KeyExchange) bool { return k.RSA.Cmp(p) == 0 && k.Bits() == 32 }},
		{TLS12, 0xc037, slices.Concat([]byte{0, 4}, []byte("hint"), ecdhe), 0, nil, func(k *KeyExchange) bool { return k.Group == X25519 }},
		{TLS12, 0xc01d, []byte("SRP"), 0, nil, func(k *KeyExchange) bool { return k.Params == nil }},
		{TLS12, 0xc02f, []byte{1, 2, 3}, 0, nil, func(k *KeyExchange) bool { return k.Group == 0 }}, // an explicit curve
	} {
		raw := MarshalKeyExchange(c.version, c.params, c.scheme, c.signature)
		k, err := ParseKeyExchange(c.version, SuiteByID(c.suite), raw[4:])
		if err != nil || !c.check(k) {
			t.Errorf("%s: %+v, %v", SuiteByID(c.suite).Name, k, err)
		}
	}
	for suite, body := range map[uint16][]byte{0x009e: dhe, 0xc02f: ecdhe, 0x0003: {0, 9, 1}, 0xc037: {0, 9, 1}, 0x002f: {1}} {
		if _, err := ParseKeyExchange(TLS12, SuiteByID(suite), body); !IsMalformed(err) {
			t.Errorf("%s: cut short: %v", SuiteByID(suite).Name, err)
		}
	}
	long := DHEParams(new(big.Int).Lsh(big.NewInt(1), 20000), g, nil)
	if _, err := ParseKeyExchange(TLS12, SuiteByID(0x0034), long); !IsMalformed(err) {
		t.Errorf("a prime of 20,001 bits was read: %v", err)
	}
}
