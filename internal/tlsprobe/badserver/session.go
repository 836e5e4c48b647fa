package badserver

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// sign signs the parameters of the key exchange (RFC 5246, section 7.4.3; RFC
// 4346, section 7.4.3).
func (c *conn) sign(params []byte) (scheme uint16, signature []byte, err error) {
	if c.suite.Is(tlswire.Anonymous) {
		return 0, nil, nil
	}
	text := slices.Concat(c.hello.Random[:], c.random[:], params)
	s1, s256 := sha1.Sum(text), sha256.Sum256(text)
	if c.version < tlswire.TLS12 {
		m := md5.Sum(text)
		signature, err = rsa.SignPKCS1v15(rand.Reader, c.key, crypto.MD5SHA1, append(m[:], s1[:]...))
		return 0, signature, err
	}
	switch scheme = c.scheme(); scheme {
	case tlswire.PSSSHA256:
		signature, err = rsa.SignPSS(rand.Reader, c.key, crypto.SHA256, s256[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case tlswire.PKCS1SHA256:
		signature, err = rsa.SignPKCS1v15(rand.Reader, c.key, crypto.SHA256, s256[:])
	default:
		signature, err = rsa.SignPKCS1v15(rand.Reader, c.key, crypto.SHA1, s1[:])
	}
	return scheme, signature, err
}

// clientFlight takes what the client says after our flight, and finishes.
func (c *conn) clientFlight() error {
	for {
		m, err := c.message()
		var other *tlswire.UnexpectedError
		switch {
		case errors.As(err, &other):
			if err := c.record(other.Record); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		switch {
		case m.Type == tlswire.ClientKeyExchange && c.master == nil:
			c.transcript = append(c.transcript, m.Raw...)
			if err := c.keyExchange(m.Body); err != nil {
				return err
			}
		case m.Type == tlswire.Finished && c.master != nil && c.In == c.in:
			if err := c.checkFinished(m); err != nil {
				return err
			}
			return c.sayFinished()
		default:
			return c.fail(tlswire.UnexpectedMessage)
		}
	}
}

// record takes what is neither a handshake message nor an alert.
func (c *conn) record(r tlswire.Record) error {
	switch {
	case r.Type == tlswire.HeartbeatRecord && (c.cfg.Heartbeat || c.cfg.Heartbleed):
		return c.heartbeat(r.Body)
	case r.Type == tlswire.ChangeCipherSpecRecord && c.master != nil:
		c.In = c.in
		return nil
	case r.Type == tlswire.ChangeCipherSpecRecord && c.cfg.EarlyCCS:
		c.In = nothing{}
		return nil
	}
	return c.fail(tlswire.UnexpectedMessage)
}

// nothing is the protection of keys that were made of nothing: it opens nothing.
type nothing struct{}

func (nothing) Seal(r tlswire.Record) tlswire.Record { return r }
func (nothing) Open(r tlswire.Record) (tlswire.Record, error) {
	return r, tlswire.ErrOpen
}

// heartbeat answers a request (RFC 6520, section 4).
func (c *conn) heartbeat(body []byte) error {
	const padding = 16
	if len(body) < 3 || body[0] != 1 {
		return nil
	}
	n := int(binary.BigEndian.Uint16(body[1:]))
	payload := body[3:]
	switch {
	case n+padding <= len(payload):
		payload = payload[:n]
	case c.cfg.Heartbleed:
		payload = append(payload, leak(n)...)[:n]
	default:
		return nil // MUST be discarded silently
	}
	answer := slices.Concat([]byte{2, body[1], body[2]}, payload, make([]byte, padding))
	return c.WriteRecords(tlswire.Cut(tlswire.HeartbeatRecord, c.version, answer, 0)...)
}

// keyExchange agrees on the keys.
func (c *conn) keyExchange(body []byte) error {
	half, err := tlswire.ParseClientKeyExchange(c.suite, body)
	if err != nil || !c.suite.CanFinish() || c.version == tlswire.SSL3 {
		return c.fail(tlswire.HandshakeFailure) // of some suites the flight is all there is to see
	}
	premaster, err := c.premaster(half)
	if err != nil {
		return c.fail(tlswire.DecryptError)
	}
	prf := tlswire.NewPRF(c.version, c.suite)
	master := prf.Master(premaster, c.hello.Random, c.random)
	if c.hello.Extensions.Has(tlswire.ExtExtendedMaster) && !c.cfg.UnboundKeys {
		master = prf.ExtendedMaster(premaster, c.transcript)
	}
	return c.keys(master)
}

func (c *conn) keys(master []byte) (err error) {
	c.master = master
	c.in, c.out, err = tlswire.NewPRF(c.version, c.suite).Protections(master, c.hello.Random, c.random)
	return err
}

func (c *conn) premaster(half []byte) ([]byte, error) {
	switch c.suite.Exchange {
	case tlswire.ECDHE:
		return c.share.Secret(half)
	case tlswire.DHE:
		z := new(big.Int).Exp(new(big.Int).SetBytes(half), c.exponent, c.cfg.Prime)
		return bytes.TrimLeft(z.Bytes(), "\x00"), nil
	}
	if c.cfg.ROBOT {
		//lint:ignore SA1019 the fault that this server is there to have
		return rsa.DecryptPKCS1v15(nil, c.key, half) // who asks learns whether the padding was right
	}
	secret := make([]byte, 48)
	rand.Read(secret) // what is used if the padding is wrong (RFC 5246, section 7.4.7.1)
	//lint:ignore SA1019 key exchange by RSA has no other padding
	err := rsa.DecryptPKCS1v15SessionKey(nil, c.key, half, secret)
	return secret, err
}

// checkFinished checks the client's Finished message.
func (c *conn) checkFinished(m tlswire.Message) error {
	want := tlswire.NewPRF(c.version, c.suite).Finished(c.master, true, c.transcript)
	if !bytes.Equal(m.Raw, want) {
		return c.fail(tlswire.DecryptError)
	}
	c.transcript = append(c.transcript, m.Raw...)
	c.clientFinished = m.Body
	return nil
}

// sayFinished says the last flight of ours, and goes over to the keys.
func (c *conn) sayFinished() error {
	if c.tickets {
		t := &tlswire.SessionTicket{Lifetime: 3600, Ticket: c.seal()}
		m := t.Marshal()
		c.transcript = append(c.transcript, m...)
		if err := c.WriteMessages(m); err != nil {
			return err
		}
	}
	finished := tlswire.NewPRF(c.version, c.suite).Finished(c.master, false, c.transcript)
	if err := c.WriteCCS(); err != nil {
		return err
	}
	c.Out = c.out
	c.transcript = append(c.transcript, finished...)
	c.serverFinished = finished[4:]
	return c.WriteMessages(finished)
}

// seal makes a ticket of the session.
func (c *conn) seal() []byte {
	state := binary.BigEndian.AppendUint16(nil, c.version)
	state = binary.BigEndian.AppendUint16(state, c.suite.ID)
	return c.box.Seal(nil, nil, append(state, c.master...), nil)
}

// open gives the master secret of the ticket that the client offers, if it is
// one of ours and fits; nil: no.
func (c *conn) open() []byte {
	ticket, _ := c.hello.Extensions.Get(tlswire.ExtTicket)
	state, err := c.box.Open(nil, nil, ticket, nil)
	if err != nil || len(state) < 4 || binary.BigEndian.Uint16(state) != c.version {
		return nil
	}
	suite := tlswire.SuiteByID(binary.BigEndian.Uint16(state[2:]))
	if !slices.Contains(c.hello.Suites, suite.ID) {
		return nil
	}
	c.suite = suite
	return state[4:]
}

// resume goes on with a session of before (RFC 5077, section 3.4).
func (c *conn) resume(master []byte) error {
	id := c.hello.SessionID
	if c.cfg.Ticketbleed && len(id) > 0 {
		id = append(bytes.Clone(id), leak(32)...)[:32]
	}
	hello := c.serverHello(id, true)
	c.transcript = append(c.transcript, hello...)
	if err := c.WriteMessages(hello); err != nil {
		return err
	}
	if err := c.keys(master); err != nil {
		return err
	}
	if err := c.sayFinished(); err != nil {
		return err
	}
	for {
		m, err := c.message()
		var other *tlswire.UnexpectedError
		switch {
		case errors.As(err, &other):
			if err := c.record(other.Record); err != nil {
				return err
			}
		case err != nil:
			return err
		case m.Type != tlswire.Finished:
			return c.fail(tlswire.UnexpectedMessage)
		default:
			return c.checkFinished(m)
		}
	}
}
