package tlsprobe

import (
	"errors"
	"net"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Outcome is how a server took a hello.
type Outcome int

// Outcomes.
const (
	Accepted  Outcome = iota + 1 // it answered with a ServerHello, or asked for another hello
	Refused                      // with an alert
	Closed                       // by closing the connection
	TimedOut                     // not at all, within the time
	Cleartext                    // with bytes that are no TLS
	Malformed                    // with TLS that is wrong
)

func (o Outcome) String() string {
	return [...]string{"unknown", "accepted", "refused", "closed", "timed out", "cleartext", "malformed"}[o]
}

// Exchange is what went over the wire, as evidence: the first 16 KiB of either
// direction.
type Exchange struct{ Sent, Received []byte }

// Answer is all that a server said to one hello in its first flight.
type Answer struct {
	Outcome   Outcome
	Err       error           // what ended the flight early; nil: nothing
	Alert     *tlswire.Alert  // the alert that ended it
	Warnings  []tlswire.Alert // those that did not
	Cleartext []byte          // what came in the place of TLS

	Hello   *tlswire.ServerHello // of the last one, if there were two; nil: none, or one of SSL 2.0
	SSL2    *tlswire.SSL2ServerHello
	Retried bool // a HelloRetryRequest came; if no share was offered, Hello is it

	Version    uint16 // what it chose
	Suite      uint16
	Group      uint16             // 0: none, or not a named one
	Extensions tlswire.Extensions // of Hello, and of EncryptedExtensions where they were read
	ALPN       string

	Chain       [][]byte // certificates in DER, the server's own first
	Staple      []byte   // OCSP response in DER
	SCTs        [][]byte
	KeyExchange *tlswire.KeyExchange    // up to TLS 1.2
	Scheme      uint16                  // how the server signed; 0: unsaid or not read
	Asked       *tlswire.CertificateAsk // the client should present a certificate
	Resumed     bool                    // without a certificate, on a session of before
	Whole       bool                    // the flight was read to its end

	Exchange
}

// String puts the outcome in a few words.
func (a *Answer) String() string {
	if a.Alert != nil {
		return a.Outcome.String() + ": " + a.Alert.Name()
	}
	return a.Outcome.String()
}

// Compressed reports whether the server chose to compress.
func (a *Answer) Compressed() bool {
	return a.Hello != nil && a.Hello.Compression != tlswire.NoCompression
}

// chose reports whether the server agreed on version.
func (a *Answer) chose(version uint16) bool { return a.Outcome == Accepted && a.Version == version }

// ended notes how the connection ended. What came before it stays.
func (a *Answer) ended(err error) {
	a.Err = err
	outcome := Malformed
	var alert tlswire.Alert
	var clear *tlswire.CleartextError
	var limit *tlswire.LimitError
	var unexpected *tlswire.UnexpectedError
	switch {
	case errors.As(err, &alert):
		a.Alert, outcome = &alert, Refused
	case errors.As(err, &clear):
		a.Cleartext, outcome = clear.Bytes, Cleartext
	case timedOut(err):
		outcome = TimedOut
	case errors.As(err, &limit), errors.As(err, &unexpected), tlswire.IsMalformed(err):
	default:
		outcome = Closed // an end of file, a reset
	}
	if a.Outcome == 0 {
		a.Outcome = outcome
	}
}

func timedOut(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
