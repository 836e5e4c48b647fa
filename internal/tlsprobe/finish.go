package tlsprobe

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"math/big"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// finishable is a hello whose handshake finish can finish, up to TLS 1.2.
func (s *Server) finishable(version uint16) *Hello {
	suites := pick(tlswire.Suites(version), tlswire.Suite.CanFinish)
	h := s.hello(version, suites)
	if version > tlswire.SSL3 {
		h = h.with(tlswire.Groups([]uint16{tlswire.X25519, tlswire.P256, tlswire.P384, tlswire.P521}))
	}
	return h
}

var errUnfinished = errors.New("the handshake can not be finished")

// finish finishes the handshake of TLS 1.0 to 1.2 that a began, without a
// certificate of ours, and gives the ticket if one came. After it the session
// is protected, and send asks for renegotiation.
func (x *session) finish(a *Answer) (ticket *tlswire.SessionTicket, err error) {
	suite := tlswire.SuiteByID(a.Suite)
	if !a.Whole || a.Resumed || a.Version < tlswire.TLS10 || a.Version > tlswire.TLS12 || !suite.CanFinish() {
		return nil, errUnfinished
	}
	premaster, half, err := x.secret(a)
	if err != nil {
		return nil, err
	}
	var ours [][]byte
	if a.Asked != nil {
		ours = append(ours, tlswire.MarshalCertificates(nil))
	}
	ours = append(ours, tlswire.MarshalClientKeyExchange(suite, half))
	for _, m := range ours {
		x.transcript = append(x.transcript, m...)
	}
	prf := tlswire.NewPRF(a.Version, suite)
	master := prf.Master(premaster, x.hello.Random, a.Hello.Random)
	if a.Hello.Extensions.Has(tlswire.ExtExtendedMaster) {
		master = prf.ExtendedMaster(premaster, x.transcript)
	}
	out, in, err := prf.Protections(master, x.hello.Random, a.Hello.Random)
	if err != nil {
		return nil, err
	}
	finished := prf.Finished(master, true, x.transcript)
	if err := errors.Join(x.WriteMessages(ours...), x.WriteCCS()); err != nil {
		return nil, err
	}
	x.Out = out
	x.transcript = append(x.transcript, finished...)
	if err := x.WriteMessages(finished); err != nil {
		return nil, err
	}
	if ticket, err = x.serverFinished(a, in); err != nil {
		return nil, err
	}
	x.verified = finished[4:]
	return ticket, nil
}

// serverFinished reads the server's last flight: a ticket perhaps, then
// ChangeCipherSpec and Finished. That the latter can be opened shows that the
// keys are right.
func (x *session) serverFinished(a *Answer, in tlswire.Protection) (ticket *tlswire.SessionTicket, err error) {
	for {
		m, err := x.message(a)
		var other *tlswire.UnexpectedError
		switch {
		case errors.As(err, &other) && other.Record.Type == tlswire.ChangeCipherSpecRecord:
			x.In = in
		case err != nil:
			return nil, err
		case m.Type == tlswire.NewSessionTicket:
			if ticket, err = tlswire.ParseTicket(a.Version, m.Body); err != nil {
				return nil, err
			}
		case m.Type == tlswire.Finished && x.In == in:
			return ticket, nil
		default:
			return nil, errUnfinished
		}
	}
}

// secret agrees on the premaster secret and gives our half of it for the
// ClientKeyExchange message (RFC 5246, section 8.1; RFC 8422, section 5.10).
func (x *session) secret(a *Answer) (premaster, half []byte, err error) {
	k := a.KeyExchange
	switch {
	case k == nil:
		return x.rsaSecret(a)
	case k.P != nil:
		return dheSecret(k)
	}
	share, err := tlswire.NewKeyShare(k.Group)
	if err != nil {
		return nil, nil, err
	}
	premaster, err = share.Secret(k.Public)
	return premaster, share.Public, err
}

func (x *session) rsaSecret(a *Answer) (premaster, half []byte, err error) {
	key, err := rsaKey(a.Chain)
	if err != nil {
		return nil, nil, err
	}
	premaster = binary.BigEndian.AppendUint16(nil, x.hello.Version)
	premaster = append(premaster, make([]byte, 46)...)
	rand.Read(premaster[2:])
	//lint:ignore SA1019 key exchange by RSA has no other padding
	half, err = rsa.EncryptPKCS1v15(rand.Reader, key, premaster)
	return premaster, half, err
}

// rsaKey is the key of the server's certificate, if it is an RSA key.
func rsaKey(chain [][]byte) (*rsa.PublicKey, error) {
	if len(chain) == 0 {
		return nil, errors.New("the server sent no certificate")
	}
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, err
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok {
		return key, nil
	}
	return nil, errors.New("the server's key is no RSA key")
}

func dheSecret(k *tlswire.KeyExchange) (premaster, half []byte, err error) {
	if k.P.BitLen() < 512 || k.G.Sign() <= 0 {
		return nil, nil, errUnfinished
	}
	private, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 256))
	if err != nil {
		return nil, nil, err
	}
	public := new(big.Int).SetBytes(k.Public)
	z := new(big.Int).Exp(public, private, k.P)
	half = new(big.Int).Exp(k.G, private, k.P).Bytes()
	return bytes.TrimLeft(z.Bytes(), "\x00"), half, nil // RFC 5246, section 8.1.2
}
