package tlswire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// bulk is how a suite of TLS 1.0 to 1.2 protects records.
type bulk struct {
	key, mac, iv int // bytes of each in the key block
	hash         func() hash.Hash
	block        func(key []byte) (cipher.Block, error)
}

// bulkOf finds how the suite protects records; ok is false for one with which
// no handshake can be finished here. There are AES with GCM or CBC, and 3DES,
// which is all that some old servers have.
func bulkOf(s Suite) (b bulk, ok bool) {
	if s.Exchange == OtherExchange || s.Exchange == ExportRSA || s.Is(Null|Anonymous|Export|PSK) || s.Exchange == NoExchange && !s.TransportsRSA() {
		return b, false
	}
	has := func(part string) bool { return strings.Contains(s.Name, part) }
	b.hash, b.block = sha1.New, aes.NewCipher
	switch {
	case has("_AES_128_"):
		b.key = 16
	case has("_AES_256_"):
		b.key = 32
	case s.Is(TripleDES):
		b.key, b.block = 24, des.NewTripleDESCipher
	default:
		return b, false
	}
	switch {
	case has("_GCM_"):
		b.iv = 4
		return b, true
	case !s.Is(CBC):
		return b, false
	case has("_SHA256"):
		b.hash = sha256.New
	case has("_SHA384"):
		b.hash = sha512.New384
	}
	b.mac = b.hash().Size()
	b.iv = 16
	if s.Is(TripleDES) {
		b.iv = 8
	}
	return b, true
}

// TransportsRSA reports whether the client encrypts the secret to the server's
// RSA key.
func (s Suite) TransportsRSA() bool { return strings.HasPrefix(s.Name, "TLS_RSA_WITH_") }

// CanFinish reports whether a handshake of TLS 1.0 to 1.2 with the suite can be
// finished here.
func (s Suite) CanFinish() bool {
	_, ok := bulkOf(s)
	return ok && s.From < TLS13
}

// HandshakeHash is the hash of the pseudo-random function from TLS 1.2 on (RFC
// 5246, section 5; RFC 5288, section 3).
func (s Suite) HandshakeHash() func() hash.Hash {
	if strings.HasSuffix(s.Name, "_SHA384") {
		return sha512.New384
	}
	return sha256.New
}

// expand is P_hash (RFC 5246, section 5).
func expand(h func() hash.Hash, secret, seed []byte, n int) []byte {
	var out []byte
	mac := hmac.New(h, secret)
	sum := func(parts ...[]byte) []byte {
		mac.Reset()
		for _, p := range parts {
			mac.Write(p)
		}
		return mac.Sum(nil)
	}
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

// PRF derives the keys of TLS 1.0 to 1.2.
type PRF struct {
	version uint16
	suite   Suite
}

// NewPRF returns the pseudo-random function of a version and a suite.
func NewPRF(version uint16, suite Suite) PRF { return PRF{version, suite} }

// derive is PRF of RFC 5246, section 5, and RFC 4346, section 5.
func (p PRF) derive(secret []byte, label string, seed []byte, n int) []byte {
	seed = append([]byte(label), seed...)
	if p.version >= TLS12 {
		return expand(p.suite.HandshakeHash(), secret, seed, n)
	}
	half := (len(secret) + 1) / 2
	out := expand(md5.New, secret[:half], seed, n)
	subtle.XORBytes(out, out, expand(sha1.New, secret[len(secret)-half:], seed, n))
	return out
}

// hash is what Finished and the extended master secret take of a transcript.
func (p PRF) hash(transcript []byte) []byte {
	if p.version >= TLS12 {
		h := p.suite.HandshakeHash()()
		h.Write(transcript)
		return h.Sum(nil)
	}
	m, s := md5.Sum(transcript), sha1.Sum(transcript)
	return append(m[:], s[:]...)
}

// Master derives the master secret (RFC 5246, section 8.1).
func (p PRF) Master(premaster []byte, client, server [32]byte) []byte {
	return p.derive(premaster, "master secret", slices.Concat(client[:], server[:]), 48)
}

// ExtendedMaster derives it from the transcript up to and with
// ClientKeyExchange (RFC 7627, section 4).
func (p PRF) ExtendedMaster(premaster, transcript []byte) []byte {
	return p.derive(premaster, "extended master secret", p.hash(transcript), 48)
}

// Finished gives the Finished message of the client or the server for the
// transcript up to it (RFC 5246, section 7.4.9).
func (p PRF) Finished(master []byte, client bool, transcript []byte) []byte {
	label := "server finished"
	if client {
		label = "client finished"
	}
	return NewMessage(Finished, p.derive(master, label, p.hash(transcript), 12))
}

// Protections derives the keys of both directions (RFC 5246, section 6.3).
func (p PRF) Protections(master []byte, client, server [32]byte) (fromClient, fromServer Protection, err error) {
	b, ok := bulkOf(p.suite)
	if !ok {
		return nil, nil, fmt.Errorf("records of %s can not be protected", p.suite.Name)
	}
	keys := p.derive(master, "key expansion", slices.Concat(server[:], client[:]), 2*(b.mac+b.key+b.iv))
	take := func(n int) []byte {
		k := keys[:n]
		keys = keys[n:]
		return k
	}
	var mac, key, iv [2][]byte
	for i := range mac {
		mac[i] = take(b.mac)
	}
	for i := range key {
		key[i] = take(b.key)
	}
	for i := range iv {
		iv[i] = take(b.iv)
	}
	var out [2]Protection
	for i := range out {
		block, err := b.block(key[i])
		if err != nil {
			return nil, nil, err
		}
		if b.mac == 0 {
			aead, err := cipher.NewGCM(block)
			if err != nil {
				return nil, nil, err
			}
			out[i] = &gcm{aead: aead, salt: iv[i]}
			continue
		}
		if p.version >= TLS11 {
			iv[i] = nil
		}
		out[i] = &cbc{block: block, mac: hmac.New(b.hash, mac[i]), iv: iv[i]}
	}
	return out[0], out[1], nil
}
