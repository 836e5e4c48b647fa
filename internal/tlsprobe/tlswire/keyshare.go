package tlswire

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"fmt"
)

// KeyShare is a fresh key pair of a group; its public half is offered.
type KeyShare struct {
	Group  uint16
	Public []byte

	secret func(peer []byte) ([]byte, error)
}

// Secret agrees on the shared secret with the public half of the server.
func (k *KeyShare) Secret(peer []byte) ([]byte, error) { return k.secret(peer) }

var curves = map[uint16]ecdh.Curve{X25519: ecdh.X25519(), P256: ecdh.P256(), P384: ecdh.P384(), P521: ecdh.P521()}

// CanShare reports whether NewKeyShare knows the group.
func CanShare(group uint16) bool {
	return curves[group] != nil || group == X25519MLKEM768 || group == SecP256r1MLKEM768 || group == SecP384r1MLKEM1024
}

// NewKeyShare makes a key pair of X25519, a NIST curve from P-256 on, or one of
// the three hybrids with ML-KEM (RFC 8446, section 4.2.8.2;
// draft-ietf-tls-ecdhe-mlkem).
func NewKeyShare(group uint16) (*KeyShare, error) {
	switch group {
	case X25519MLKEM768, SecP256r1MLKEM768:
		dk, err := mlkem.GenerateKey768()
		if err != nil {
			return nil, err
		}
		if group == X25519MLKEM768 {
			return hybrid(group, X25519, dk.EncapsulationKey().Bytes(), mlkem.CiphertextSize768, dk.Decapsulate, true)
		}
		return hybrid(group, P256, dk.EncapsulationKey().Bytes(), mlkem.CiphertextSize768, dk.Decapsulate, false)
	case SecP384r1MLKEM1024:
		dk, err := mlkem.GenerateKey1024()
		if err != nil {
			return nil, err
		}
		return hybrid(group, P384, dk.EncapsulationKey().Bytes(), mlkem.CiphertextSize1024, dk.Decapsulate, false)
	}
	curve := curves[group]
	if curve == nil {
		return nil, fmt.Errorf("no key share can be made for group %s", GroupName(group))
	}
	key, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &KeyShare{group, key.PublicKey().Bytes(), func(peer []byte) ([]byte, error) {
		pub, err := curve.NewPublicKey(peer)
		if err != nil {
			return nil, err
		}
		return key.ECDH(pub)
	}}, nil
}

// hybrid joins a key of ML-KEM, whose ciphertext has size bytes, to one of a
// curve. kemFirst is the order in which their parts and secrets stand.
func hybrid(group, curve uint16, kem []byte, size int, decapsulate func([]byte) ([]byte, error), kemFirst bool) (*KeyShare, error) {
	classic, err := NewKeyShare(curve)
	if err != nil {
		return nil, err
	}
	order := func(kem, classic []byte) []byte {
		if kemFirst {
			return bytes.Join([][]byte{kem, classic}, nil)
		}
		return bytes.Join([][]byte{classic, kem}, nil)
	}
	return &KeyShare{group, order(kem, classic.Public), func(peer []byte) ([]byte, error) {
		if len(peer) != size+len(classic.Public) {
			return nil, malformed("key share")
		}
		ct, point := peer[:size], peer[size:]
		if !kemFirst {
			point, ct = peer[:len(classic.Public)], peer[len(classic.Public):]
		}
		a, err := decapsulate(ct)
		if err != nil {
			return nil, err
		}
		b, err := classic.Secret(point)
		if err != nil {
			return nil, err
		}
		return order(a, b), nil
	}}, nil
}
