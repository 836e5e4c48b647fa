package starttls

import "net"

// A Filter stands in one direction of a session that a gateway passes on. It is
// told every byte that comes from one side, in pieces of any size, and returns
// what the other side is to read; that is valid until its next call, and may be
// its argument. A Filter does no I/O. An error ends the session.
type Filter func(b []byte) ([]byte, error)

// A Splicer knows what must be seen to when a client and a backend are joined
// that did not come to the resume point in the same way: one has TLS, say, and
// the other has not. A protocol without one is joined as it is.
type Splicer interface {
	// Splice is called when both sides stand at the resume point. It may talk to
	// the backend, change Hello.Greeting, and return a Filter for each direction;
	// nil passes everything on.
	Splice(s *Splice) (toBackend, toClient Filter, err error)
}

// Splice is what a gateway gives to a [Splicer].
type Splice struct {
	Client, Backend *Wire
	Hello           Hello   // what the backend said for itself; Greeting is nil if it is not to be passed on
	Outcome         Outcome // where the client's way to the resume point ended

	// HideAuth is set where the client is in clear although the gateway has TLS
	// (Offer.Mode Optional): sign-in is neither offered nor passed on. See
	// Info.HidesAuth.
	HideAuth bool

	// Data opens a port for one data connection of this session, which is joined
	// with backend, an address of the backend's host, and returns the address that
	// the client is to be told. With private, the client's side of it has TLS.
	Data func(backend string, private bool) (*net.TCPAddr, error)
}

// An Identifier can tell a backend which client is behind a gateway, as the
// client and at the resume point: SMTP's XCLIENT, IMAP's ID. It leaves the
// session at the resume point.
type Identifier interface {
	Identify(w *Wire, client, local net.Addr) error
}

// An Apologizer has words for a server that is out of service, said at the
// resume point before it closes: SMTP's 421, IMAP's BYE.
type Apologizer interface {
	Unavailable() []byte
}

// An Unspliceable protocol says again inside TLS what was agreed on in clear, so
// that TLS can not be ended by a third party. It says why in a sentence.
type Unspliceable interface {
	Unspliceable() string
}

// A RequestBound protocol has in its request for TLS what only the client can
// say, so that a gateway asks its backend for TLS when the client has spoken:
// MySQL's capabilities. Its server speaks first.
type RequestBound interface {
	// Request makes the request of what the client says first at the resume point,
	// which it leaves unread. apology, if not nil, is for the client when there is
	// no TLS to be had, or when Request returns an error.
	Request(client *Wire) (request, apology []byte, err error)
}
