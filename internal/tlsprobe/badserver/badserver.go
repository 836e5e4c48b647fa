// Package badserver serves TLS with faults that no library has any more: what
// package tlsprobe must find, and what people can point any tool at. It speaks
// SSL 3.0 to TLS 1.2 far enough for each fault to show, says hello in SSL 2.0,
// and finishes handshakes of AES and 3DES suites. It guards nothing and its
// "memory" leaks a constant.
package badserver

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"math/big"
	"net"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Config is a server and its faults. With a certificate alone it is one of TLS
// 1.2 without a fault.
type Config struct {
	Certificate tls.Certificate      // with an RSA key
	Versions    []uint16             // the oldest first; nil: TLS 1.2 alone
	Suites      []uint16             // the best first; nil: AES with ECDHE, DHE and RSA
	SSL2        []tlswire.SSL2Cipher // of SSL 2.0; nil: it does not speak that
	Prime       *big.Int             // for DHE; nil: RFC 3526's of 2048 bits
	ALPN        []string             // nil: it knows no such names
	Heartbeat   bool                 // RFC 6520

	Heartbleed     bool // answers heartbeats with as much as they claim to hold
	EarlyCCS       bool // takes ChangeCipherSpec before there are keys
	ROBOT          bool // tells wrong padding from a wrong secret
	Ticketbleed    bool // gives back session IDs of 32 bytes
	Deflate        bool // compresses, or says so
	UnboundKeys    bool // does not bind its keys to the handshake (RFC 7627)
	Unbound        bool // knows no renegotiation_info
	Renegotiates   bool // as often as a client likes
	AnyALPN        bool // goes on without a word when no name is right
	NeedsName      bool // refuses a hello without a host name it knows
	ReadsOnce      bool // waits for ever if the hello is not in the first segment
	IgnoresSignals bool // goes on when the client says that it fell back
	ClientOrder    bool // takes the suite that the client likes best
	ShortList      bool // closes when it is offered more than 100 cipher suites
}

// Server serves connections with one Config.
type Server struct {
	cfg Config
	key *rsa.PrivateKey
	box cipher.AEAD // seals tickets
}

var errKey = errors.New("the certificate's key is no RSA key")

// New returns a server. It does no I/O.
func New(cfg Config) (*Server, error) {
	key, ok := cfg.Certificate.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errKey
	}
	if cfg.Versions == nil {
		cfg.Versions = []uint16{tlswire.TLS12}
	}
	if cfg.Suites == nil {
		cfg.Suites = goodSuites
	}
	if cfg.Prime == nil {
		cfg.Prime = prime(prime2048)
	}
	box, err := newBox()
	return &Server{cfg, key, box}, err
}

// conn is one connection.
type conn struct {
	*tlswire.Conn
	*Server

	hello      *tlswire.ClientHello
	random     [32]byte
	version    uint16
	suite      tlswire.Suite
	transcript []byte

	share    *tlswire.KeyShare // of ECDHE
	exponent *big.Int          // of DHE
	master   []byte            // nil: no keys yet
	in, out  tlswire.Protection
	tickets  bool // the client would have one

	clientFinished, serverFinished []byte // of the handshake before, for RFC 5746
}

// Serve serves one connection and closes it. Deadlines are the caller's. It
// returns nil if the client left in good order.
func (s *Server) Serve(nc net.Conn) error {
	defer nc.Close()
	if s.cfg.ReadsOnce {
		nc = &once{Conn: nc}
	}
	c := &conn{Conn: tlswire.NewConn(nc), Server: s}
	first, err := c.Peek()
	if err != nil {
		return err
	}
	if first&0x80 != 0 {
		return c.ssl2()
	}
	m, err := c.message()
	for err == nil {
		if err = c.handshake(m); err == nil {
			m, err = c.idle()
		}
	}
	if errors.Is(err, errBye) {
		return nil
	}
	return err
}

var errBye = errors.New("the client said goodbye")

// fail sends an alert and gives it as the error.
func (c *conn) fail(code uint8) error {
	a := tlswire.Alert{Level: tlswire.Fatal, Code: code}
	c.WriteAlert(a)
	return a
}

// message reads a message; what can not be read is answered with an alert.
func (c *conn) message() (tlswire.Message, error) {
	m, err := c.ReadMessage()
	var alert tlswire.Alert
	var other *tlswire.UnexpectedError
	switch {
	case err == nil, errors.As(err, &other):
	case errors.As(err, &alert) && alert.Code == tlswire.CloseNotify:
		err = errBye
	case errors.Is(err, tlswire.ErrOpen):
		err = c.fail(tlswire.BadRecordMAC)
	}
	return m, err
}

// idle waits in a session for another handshake.
func (c *conn) idle() (tlswire.Message, error) {
	for {
		m, err := c.message()
		var other *tlswire.UnexpectedError
		switch {
		case errors.As(err, &other) && other.Record.Type == tlswire.ApplicationData: // nobody is at home
		case err != nil:
			return m, err
		case m.Type == tlswire.ClientHelloMessage && !c.cfg.Renegotiates:
			if err := c.WriteAlert(tlswire.Alert{Level: tlswire.Warning, Code: tlswire.NoRenegotiation}); err != nil {
				return m, err
			}
		default:
			return m, nil
		}
	}
}

// ssl2 answers a CLIENT-HELLO of SSL 2.0.
func (c *conn) ssl2() error {
	body, err := c.ReadSSL2()
	if err != nil {
		return err
	}
	h, err := tlswire.ParseSSL2Hello(body)
	if err != nil || c.cfg.SSL2 == nil {
		return err
	}
	var both []tlswire.SSL2Cipher
	for _, k := range c.cfg.SSL2 {
		for _, offered := range h.Ciphers {
			if k == offered {
				both = append(both, k)
			}
		}
	}
	id := make([]byte, 16)
	rand.Read(id)
	sh := tlswire.SSL2ServerHello{Version: tlswire.SSL2, Certificate: c.cfg.Certificate.Certificate[0], Ciphers: both, ConnectionID: id}
	if err := c.Write(sh.Marshal()); err != nil {
		return err
	}
	_, err = c.ReadSSL2() // the CLIENT-MASTER-KEY, of which nothing is made
	return err
}

// once is a connection of a server that reads its first record with one read.
// What comes after it is swallowed until that record was whole.
type once struct {
	net.Conn
	read bool
	done bool
}

func (o *once) Read(b []byte) (int, error) {
	if !o.read || o.done {
		n, err := o.Conn.Read(b)
		o.read = true
		o.done = o.done || whole(b[:n])
		return n, err
	}
	for {
		if _, err := o.Conn.Read(b); err != nil {
			return 0, err
		}
	}
}

// whole reports whether b has all of the record it begins with.
func whole(b []byte) bool { return len(b) >= 5 && len(b) >= 5+int(b[3])<<8+int(b[4]) }

// leak is what stands in the memory of a server that gives it away.
func leak(n int) []byte { return bytes.Repeat([]byte("leaked! "), n/8+1)[:n] }
