package tlswire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"hash"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// Schedule is the key schedule of TLS 1.3 on a client (RFC 8446, section 7.1).
type Schedule struct {
	suite  Suite
	hash   func() hash.Hash
	secret []byte // of the stage: early, handshake, then master
	client []byte // traffic secret of the client in this stage
}

// CanSchedule reports whether the records of a suite of TLS 1.3 can be opened
// here: with AES-GCM, the one that all servers must have (RFC 8446, section
// 9.1).
func (s Suite) CanSchedule() bool {
	return s.From == TLS13 && strings.Contains(s.Name, "_AES_") && strings.Contains(s.Name, "_GCM_")
}

// NewSchedule begins a schedule with a pre-shared key, or with none. The suite
// must be one that CanSchedule.
func NewSchedule(suite Suite, psk []byte) *Schedule {
	s := &Schedule{suite: suite, hash: suite.HandshakeHash()}
	if psk == nil {
		psk = s.zeros()
	}
	s.secret = s.extract(psk, nil)
	return s
}

func (s *Schedule) zeros() []byte { return make([]byte, s.hash().Size()) }

func (s *Schedule) extract(secret, salt []byte) []byte {
	out, err := hkdf.Extract(s.hash, secret, salt)
	if err != nil {
		panic(err) // only in FIPS mode, for short keys
	}
	return out
}

func (s *Schedule) expandLabel(secret []byte, label string, context []byte, n int) []byte {
	var info cryptobyte.Builder
	info.AddUint16(uint16(n))
	u8(&info, []byte("tls13 "+label))
	u8(&info, context)
	out, err := hkdf.Expand(s.hash, secret, string(info.BytesOrPanic()), n)
	if err != nil {
		panic(err)
	}
	return out
}

// Sum is the hash of a transcript.
func (s *Schedule) Sum(transcript []byte) []byte {
	h := s.hash()
	h.Write(transcript)
	return h.Sum(nil)
}

func (s *Schedule) derive(secret []byte, label string, transcript []byte) []byte {
	return s.expandLabel(secret, label, s.Sum(transcript), s.hash().Size())
}

// next goes to the following stage.
func (s *Schedule) next(input []byte) {
	s.secret = s.extract(input, s.derive(s.secret, "derived", nil))
}

// Handshake goes on with the shared secret and the transcript up to and with
// ServerHello, to the keys of the handshake.
func (s *Schedule) Handshake(shared, transcript []byte) (fromClient, fromServer Protection, err error) {
	s.next(shared)
	return s.traffic("hs", transcript)
}

// Application goes on with the transcript up to and with the server's Finished,
// to the keys of the session.
func (s *Schedule) Application(transcript []byte) (fromClient, fromServer Protection, err error) {
	s.next(s.zeros())
	return s.traffic("ap", transcript)
}

func (s *Schedule) traffic(stage string, transcript []byte) (fromClient, fromServer Protection, err error) {
	s.client = s.derive(s.secret, "c "+stage+" traffic", transcript)
	if fromClient, err = s.protection(s.client); err != nil {
		return nil, nil, err
	}
	fromServer, err = s.protection(s.derive(s.secret, "s "+stage+" traffic", transcript))
	return fromClient, fromServer, err
}

func (s *Schedule) protection(secret []byte) (Protection, error) {
	size := 16
	if strings.Contains(s.suite.Name, "_AES_256_") {
		size = 32
	}
	block, err := aes.NewCipher(s.expandLabel(secret, "key", nil, size))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &aead13{aead: aead, iv: s.expandLabel(secret, "iv", nil, 12)}, err
}

// Finished gives the client's Finished message for the transcript up to it, in
// the stage of the handshake (RFC 8446, section 4.4.4).
func (s *Schedule) Finished(transcript []byte) []byte {
	return NewMessage(Finished, s.mac(s.client, s.Sum(transcript)))
}

func (s *Schedule) mac(secret, data []byte) []byte {
	mac := hmac.New(s.hash, s.expandLabel(secret, "finished", nil, s.hash().Size()))
	mac.Write(data)
	return mac.Sum(nil)
}

// Resumption gives, in the stage of the session, the pre-shared key of a ticket,
// for the transcript up to and with the client's Finished (RFC 8446, section
// 4.6.1).
func (s *Schedule) Resumption(transcript, nonce []byte) []byte {
	master := s.derive(s.secret, "res master", transcript)
	return s.expandLabel(master, "resumption", nonce, s.hash().Size())
}

// Bind fills in the binder of a ClientHello whose last extension is a
// PreSharedKey of ours, in the first stage (RFC 8446, section 4.2.11.2).
func (s *Schedule) Bind(hello []byte) {
	size := s.hash().Size()
	rest := len(hello) - size
	key := s.derive(s.secret, "res binder", nil)
	copy(hello[rest:], s.mac(key, s.Sum(hello[:rest-3]))) // the lengths of the list and of the binder are left out too
}

// RetryTranscript is the transcript that goes on after a HelloRetryRequest, for
// the ClientHello before it (RFC 8446, section 4.4.1).
func RetryTranscript(suite Suite, hello []byte) []byte {
	h := suite.HandshakeHash()()
	h.Write(hello)
	return NewMessage(messageHash, h.Sum(nil))
}
