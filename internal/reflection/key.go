// Package reflection is what a reflector ("starttls lab reflect") and who asks it
// ("starttls check --reflect") say to each other: which bytes of a connection
// were sent at the one end, and which arrived at the other. They say it inside
// TLS of their own, by a key that both were given, so that nothing on the path
// can change the record as it changes the connections.
package reflection

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"time"
)

// Key is what a reflector and who asks it share: each proves to the other that he
// has it, and neither sends it. Who has it can read the record and pretend to be
// the reflector; it opens nothing else.
type Key struct{ private ed25519.PrivateKey }

// NewKey makes one.
func NewKey() Key {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return Key{ed25519.NewKeyFromSeed(seed)}
}

// ParseKey reads what String wrote.
func ParseKey(s string) (Key, error) {
	seed, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(seed) != ed25519.SeedSize {
		return Key{}, errors.New("the token is not one that a reflector printed: 43 letters, digits, hyphens and underscores")
	}
	return Key{ed25519.NewKeyFromSeed(seed)}, nil
}

// String is the key as it is carried from the one end to the other.
func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k.private.Seed()) }

// config is the configuration of both ends: each has a certificate of the key,
// and takes no other.
func (k Key) config() (*tls.Config, error) {
	own := k.private.Public().(ed25519.PublicKey)
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, own, k.private)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: k.private}},
		MinVersion:   tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
		InsecureSkipVerify: true, // names and authorities prove nothing here: VerifyConnection looks at the key itself
		VerifyConnection: func(s tls.ConnectionState) error {
			if peer, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey); !ok || !bytes.Equal(peer, own) {
				return errors.New("the other end does not have the reflector's key")
			}
			return nil
		},
	}, nil
}

// KeyID names the key of a certificate: the SHA-256 of its public key, in
// hexadecimal digits.
func KeyID(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
