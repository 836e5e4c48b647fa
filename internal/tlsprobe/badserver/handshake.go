package badserver

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// goodSuites have nothing to find but, in the last, no forward secrecy.
var goodSuites = []uint16{
	0xc02f, // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	0xc030, // TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
	0x009e, // TLS_DHE_RSA_WITH_AES_128_GCM_SHA256
	0xc013, // TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
	0x002f, // TLS_RSA_WITH_AES_128_CBC_SHA
}

var errLong = errors.New("too many cipher suites")

// handshake answers the ClientHello m and sees the handshake through.
func (c *conn) handshake(m tlswire.Message) (err error) {
	if m.Type != tlswire.ClientHelloMessage {
		return c.fail(tlswire.UnexpectedMessage)
	}
	if c.hello, err = tlswire.ParseClientHello(m.Body); err != nil {
		return c.fail(50) // decode_error
	}
	if c.cfg.ShortList && len(c.hello.Suites) > 100 {
		return errLong
	}
	c.transcript, c.master, c.random = bytes.Clone(m.Raw), nil, tlswire.Random()
	if code := c.negotiate(); code != 0 {
		return c.fail(code)
	}
	c.Version = c.version
	if master := c.open(); master != nil {
		return c.resume(master)
	}
	if err := c.flight(); err != nil {
		return err
	}
	return c.clientFlight()
}

// negotiate chooses, and tells with which alert to refuse; 0: none.
func (c *conn) negotiate() (alert uint8) {
	h := c.hello
	c.version = 0
	for _, v := range c.cfg.Versions {
		if c.offers(v) {
			c.version = v
		}
	}
	newest := slices.Max(c.cfg.Versions)
	switch {
	case c.version == 0:
		return tlswire.ProtocolVersion
	case slices.Contains(h.Suites, tlswire.FallbackSCSV) && c.version < newest && !c.cfg.IgnoresSignals:
		return tlswire.InappropriateFallback
	case c.cfg.NeedsName && !c.named():
		return tlswire.UnrecognizedName
	case len(c.cfg.ALPN) > 0 && c.protocol() == "" && h.Extensions.Has(tlswire.ExtALPN) && !c.cfg.AnyALPN:
		return tlswire.NoApplicationProtocol
	}
	first, second := c.cfg.Suites, h.Suites
	if c.cfg.ClientOrder {
		first, second = second, first
	}
	for _, id := range first {
		if s := tlswire.SuiteByID(id); slices.Contains(second, id) && s.In(c.version) && c.can(s) {
			c.suite = s
			return 0
		}
	}
	return tlswire.HandshakeFailure
}

// offers reports whether the client has a version.
func (c *conn) offers(v uint16) bool {
	list, ok := c.hello.Extensions.Get(tlswire.ExtVersions)
	if !ok || len(list) == 0 {
		return v <= c.hello.Version
	}
	for x := range slices.Chunk(list[1:], 2) {
		if len(x) == 2 && binary.BigEndian.Uint16(x) == v {
			return true
		}
	}
	return false
}

// can reports whether the client's extensions let the suite be used.
func (c *conn) can(s tlswire.Suite) bool {
	if s.Exchange == tlswire.ECDHE && c.group() == 0 {
		return false
	}
	return c.version < tlswire.TLS12 || s.Is(tlswire.Anonymous) || s.Exchange == tlswire.NoExchange || c.scheme() != 0
}

// group chooses a curve; 0: there is none.
func (c *conn) group() uint16 { return c.common(tlswire.ExtGroups, tlswire.X25519, tlswire.P256) }

// scheme chooses how to sign in TLS 1.2; 0: there is no way.
func (c *conn) scheme() uint16 {
	if !c.hello.Extensions.Has(tlswire.ExtSchemes) {
		return tlswire.PKCS1SHA1 // RFC 5246, section 7.4.1.4.1
	}
	return c.common(tlswire.ExtSchemes, tlswire.PSSSHA256, tlswire.PKCS1SHA256, tlswire.PKCS1SHA1)
}

// common finds the first of ours in the list that the extension has.
func (c *conn) common(extension uint16, ours ...uint16) uint16 {
	data, _ := c.hello.Extensions.Get(extension)
	theirs, _ := tlswire.ParseNumbers(data)
	for _, x := range ours {
		if slices.Contains(theirs, x) {
			return x
		}
	}
	return 0
}

// named reports whether the client asked for a name in the certificate.
func (c *conn) named() bool {
	data, ok := c.hello.Extensions.Get(tlswire.ExtServerName)
	name, err := tlswire.ParseServerName(data)
	return ok && err == nil && c.cfg.Certificate.Leaf != nil && c.cfg.Certificate.Leaf.VerifyHostname(name) == nil
}

// protocol chooses an application protocol; "": none.
func (c *conn) protocol() string {
	data, _ := c.hello.Extensions.Get(tlswire.ExtALPN)
	theirs, _ := tlswire.ParseProtocols(data)
	for _, p := range c.cfg.ALPN {
		if slices.Contains(theirs, p) {
			return p
		}
	}
	return ""
}

// serverHello makes our hello. A session that is resumed gets no other ticket.
func (c *conn) serverHello(session []byte, resumed bool) []byte {
	h := tlswire.ServerHello{Legacy: c.version, Random: c.random, SessionID: session, Suite: c.suite.ID}
	theirs := c.hello.Extensions
	if c.cfg.Deflate && slices.Contains(c.hello.Compression, tlswire.Deflate) {
		h.Compression = tlswire.Deflate
	}
	asked := theirs.Has(tlswire.ExtRenegotiationInfo) || slices.Contains(c.hello.Suites, tlswire.RenegotiationSCSV)
	if asked && !c.cfg.Unbound {
		h.Extensions = append(h.Extensions, tlswire.RenegotiationInfo(slices.Concat(c.clientFinished, c.serverFinished)))
	}
	if p := c.protocol(); p != "" {
		h.Extensions = append(h.Extensions, tlswire.Protocols(p))
	}
	if theirs.Has(tlswire.ExtExtendedMaster) && !c.cfg.UnboundKeys {
		h.Extensions = append(h.Extensions, tlswire.Empty(tlswire.ExtExtendedMaster))
	}
	if c.tickets = theirs.Has(tlswire.ExtTicket) && !resumed; c.tickets {
		h.Extensions = append(h.Extensions, tlswire.Ticket(nil))
	}
	if theirs.Has(tlswire.ExtHeartbeat) && (c.cfg.Heartbeat || c.cfg.Heartbleed) {
		h.Extensions = append(h.Extensions, tlswire.Heartbeat())
	}
	return h.Marshal()
}

// flight says all up to ServerHelloDone.
func (c *conn) flight() error {
	flight := [][]byte{c.serverHello(nil, false)}
	if !c.suite.Is(tlswire.Anonymous) {
		flight = append(flight, tlswire.MarshalCertificates(c.cfg.Certificate.Certificate))
	}
	params, err := c.params()
	if err != nil {
		return err
	}
	if params != nil {
		scheme, signature, err := c.sign(params)
		if err != nil {
			return err
		}
		flight = append(flight, tlswire.MarshalKeyExchange(c.version, params, scheme, signature))
	}
	flight = append(flight, tlswire.NewMessage(tlswire.ServerHelloDone, nil))
	c.transcript = append(c.transcript, bytes.Join(flight, nil)...)
	return c.WriteMessages(flight...)
}

// params makes our half of the key exchange; nil: the certificate is all.
func (c *conn) params() (params []byte, err error) {
	switch c.suite.Exchange {
	case tlswire.ECDHE:
		if c.share, err = tlswire.NewKeyShare(c.group()); err != nil {
			return nil, err
		}
		return tlswire.ECDHEParams(c.share.Group, c.share.Public), nil
	case tlswire.DHE:
		if c.exponent, err = rand.Int(rand.Reader, c.cfg.Prime); err != nil {
			return nil, err
		}
		g := big.NewInt(2)
		return tlswire.DHEParams(c.cfg.Prime, g, new(big.Int).Exp(g, c.exponent, c.cfg.Prime).Bytes()), nil
	case tlswire.ExportRSA:
		modulus := make([]byte, 64) // of a key of 512 bits; nobody gets as far as using it
		rand.Read(modulus)
		modulus[0] |= 0x80
		return tlswire.ExportParams(new(big.Int).SetBytes(modulus)), nil
	}
	return nil, nil
}

func newBox() (cipher.AEAD, error) {
	key := make([]byte, 16)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
