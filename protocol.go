package starttls

import (
	"errors"
	"net"
)

// A Protocol knows how one application protocol gets from cleartext to TLS.
//
// Both halves bring a fresh connection to the protocol's resume point: the
// moment after which the session proper begins, as if the connection had been
// opened inside TLS, except that a greeting given in cleartext is not given
// again (unless Info.SpeaksAfterTLS says so).
//
// Whoever adds a protocol implements this; everybody else passes it to [Dial],
// [Client], [Server] or [NewListener]. Implementations hold no connection state
// and are safe for concurrent use. What is odd about a protocol is one of the
// optional interfaces below, found by type assertion: [HandshakeWrapper],
// [Settler], [Prober], [Authenticator], [Injector], [Tester], [Host]; for the
// lab [Mover], and for gateways [Splicer], [Identifier], [Apologizer],
// [Unspliceable], [RequestBound].
type Protocol interface {
	Info() Info

	// Client speaks the client's half of the cleartext phase. It returns when
	// the next byte in either direction belongs to TLS, with what the server
	// said for itself. With NoAsk it returns at the resume point instead:
	// having read the server's greeting where there is one, and written
	// nothing.
	//
	// It writes the request for TLS by [Wire.Ask]. It returns ErrNotOffered,
	// with the Hello as far as it is known, when TLS is not offered and ask is
	// IfOffered, and a *RefusedError when the request was refused.
	Client(w *Wire, ask Ask) (Hello, error)

	// Server speaks the server's half, introducing itself as h, and returns
	// when the next byte belongs to TLS (Outcome.TLS is then true) or to the
	// session. It writes the go-ahead by [Wire.GoAhead], and refuses, in the
	// protocol's own words, all that the protocol does not allow before TLS.
	Server(w *Wire, h Hello, offer Offer) (Outcome, error)
}

// Info is what is constant about a protocol.
type Info struct {
	Name         string   // as in a URL: "smtp"
	Aliases      []string // other names for it
	Port         int      // usual port of the upgrade; 0 if there is none
	ImplicitTLS  int      // usual port of the form that begins with TLS; 0 if there is none
	Implicit     []string // URL schemes of that form that are not Name plus "s"
	ALPN         []string // protocol names offered in implicit TLS
	ALPNUpgraded bool     // they are offered in the upgrade too
	ALPNRequired bool     // TLS that offered them without agreement on one is an error
	Reference    string   // the specification: "RFC 3207"
	Title        string   // what people call it: "SMTP between mail servers"
	MX           bool     // found by MX records
	SRV          string   // service name in SRV records, without underscore (RFC 2782); "" if it has none
	SRVImplicit  string   // the same of the form that begins with TLS
	NamesDomain  bool     // certificates name the domain that is served, not its host (XMPP)
	Role         Role     // who uses the usual port, which decides how grave a fault is

	ServerFirst    bool   // the server speaks first
	Unadvertised   bool   // whether there is TLS shows only when it is asked for (PostgreSQL, LDAP)
	EagerClient    bool   // the ClientHello follows the request unprompted (MySQL)
	SpeaksAfterTLS bool   // the server introduces itself again inside TLS (ManageSieve)
	BoundGreeting  bool   // sign-in is bound to the greeting, even to one in clear: a gateway must show its backend's (MySQL's nonce, APOP)
	Data           bool   // a session has connections of their own for its data (FTP)
	HidesAuth      bool   // its Splicer obeys Splice.HideAuth
	HelloInTLS     bool   // offering TLS inside TLS is forbidden by Reference
	ClearAfterTLS  bool   // Reference lets a session go on in clear after the end of TLS (LDAP)
	Unordered      bool   // answers may come in another order than their questions
	LF             bool   // lines end in LF alone
	Binary         bool   // the session is no text
	MinVersion     uint16 // lowest TLS version that Reference allows; 0: no limit
	MaxVersion     uint16 // highest TLS version that the upgrade can carry; 0: no limit
	Greeting       string // what Conn.Greeted puts in the place of a greeting already read; "" if there is none
}

// Role is who uses a port, and so what cleartext costs there.
type Role int

const (
	Access Role = iota // clients sign in or ask: without TLS nothing should pass
	Relay              // servers among themselves, where TLS is opportunistic by default (an MX on port 25)
	Public             // content that anyone may read, whose secure form has another port (HTTP)
)

func (r Role) String() string {
	return [...]string{"access", "relay", "public"}[r]
}

// Ask says under which condition a client asks for TLS.
type Ask int

const (
	IfOffered Ask = iota // ask only when the server offers it
	Always               // ask even when it is not offered (RFC 9325, section 3.2)
	NoAsk                // stop at the resume point, in cleartext
)

// OfferMode is what a server does about TLS.
type OfferMode int

const (
	Grant    OfferMode = iota // offer TLS and require it
	Decline                   // offer it and refuse every request as temporarily unavailable
	Hide                      // behave as a server without TLS; stop at the first session command, unread
	Optional                  // offer it; stop at the first session command, unread, and upgrade no more after that
	NoOffer                   // stop at the resume point, in cleartext
)

// Offer is what a server does about TLS; the zero value grants it. Keyword and
// Reply, when not empty, take the place of the protocol's own word for the
// capability and of its reply to the request: they are for tests of clients.
type Offer struct {
	Mode    OfferMode
	Keyword string
	Reply   []byte
}

// Hello is what one side said for itself on the way to the resume point. What
// was learned in cleartext is untrusted: an attacker on the path can have
// written it.
type Hello struct {
	Greeting   []byte   // the server's opening message, verbatim; nil if the client speaks first
	Caps       []string // its capabilities, in its own words
	Offered    bool     // TLS; where nothing is ever advertised, that the request was not refused
	Required   bool     // the server says that it insists on TLS
	Auth       []string // sign-in mechanisms, whatever the protocol calls them
	Software   string   // what it told of itself: name and version
	ClientSeen string   // what it told of us: our address or name as it sees it
}

// Outcome is where a server's half ended.
type Outcome struct {
	TLS    bool   // TLS comes next
	Peer   string // what the client called itself or asked for: EHLO name, XMPP "to"; untrusted
	Replay []byte // a constant command of the protocol whose effect outlives TLS (NNTP's MODE READER); never client bytes
}

// A HandshakeWrapper carries the TLS handshake in packets of its own, as TDS
// does, and only what follows as TLS alone. The form that begins with TLS is not
// wrapped.
//
// Its client must not say anything between the request and the answer to it:
// what a server has read behind the request is an InjectedError, be it TLS or not.
type HandshakeWrapper interface {
	// WrapHandshake returns a connection for the handshake to be made over. The
	// core calls unwrap once the handshake has succeeded; from then on wrapped
	// is nc itself, but for what is left of the packet last read, which comes
	// first. Reads take no byte off nc that is not the packet's, and what is no
	// packet is a tls.RecordHeaderError with its first bytes.
	WrapHandshake(nc net.Conn) (wrapped net.Conn, unwrap func())
}

// A Settler has something to say between the handshake and the session proper:
// FTP's PBSZ and PROT (RFC 4217, section 9). Only clients call it.
type Settler interface {
	Settle(w *Wire) error
}

// A Prober can tell, as the client and at the resume point, whether the session
// is alive and what the server offers now. Hello.Offered is then about TLS
// inside TLS. It signs nobody in.
type Prober interface {
	Probe(w *Wire) (Hello, error)
}

// An Authenticator can carry a SASL exchange (RFC 4422) as the client, at the
// resume point. initial is the mechanism's first message, nil if it has none;
// next answers each challenge, nil to end the exchange. A refusal is a
// *RefusedError. Call it only inside verified TLS, over a Wire that keeps no
// transcript.
type Authenticator interface {
	Authenticate(w *Wire, mechanism string, initial []byte, next func(challenge []byte) ([]byte, error)) error
}

// An Injector makes the bytes of an injection test: a command that is sent in
// clear behind the request for TLS and must never be answered inside TLS
// (CVE-2011-0411 and its kin; RFC 3207, section 6).
type Injector interface {
	// Injection makes them for the server of that name. marker is eight capital
	// letters and digits, a letter first, that no other reply can hold.
	Injection(serverName, marker string) Injection
}

// Injection is one injection test. Both commands are harmless, sign nobody in,
// and have replies that can be told apart from all else a server says.
type Injection struct {
	Probe   []byte // said in clear behind the request for TLS
	Control []byte // asked inside TLS, at the resume point; its reply proves that the session lives
	// Classify tells what is in all that the server has said inside TLS so far,
	// and, of what it said in clear behind its go-ahead, whether it holds a reply
	// to Probe. Given more of the same, it never takes back what it told.
	Classify func(said []byte) Reply
}

// Reply tells which answers have come, each in whole or far enough to be
// recognised.
type Reply struct{ Probe, Control bool }

// A Tester has tests of servers that only its protocol has: of the sequence of
// commands around the upgrade, of what is taken in clear, of what is kept
// across it. Tests returns new ones at each call, to be made once each: what
// Before and Run share can be a variable of theirs.
type Tester interface{ Tests() []Test }

// Test is one of them. Its words for people stand in check's catalogue, under
// ID. A nil Before says nothing.
type Test struct {
	ID    string // of the finding
	Level int    // 1: what any client says; 2: an active probe; 3: signs in with random credentials, or goes on to where others may notice
	Full  bool   // only where everything is asked for
	Clear bool   // Run begins at the resume point in clear; else right behind the handshake, before anything is said
	// Before says something in clear before the request for TLS, and reads the
	// answers. Where it finds that the test has no object it returns ErrNoObject.
	// A server that refuses TLS then does so rightly, and Run is not called.
	Before func(w *Wire) error
	// Run speaks the test and judges it. It returns ErrNoObject where there is
	// nothing to test; a server that closes the connection has no fault; any
	// other error means that nothing can be told.
	Run func(w *Wire) (Verdict, error)
}

// Verdict is what a Test found. Detail says it in words, and may be empty.
type Verdict struct {
	Fault    bool
	Harmless bool // with Fault: it is so, and weighs nothing in this protocol
	Detail   string
}

// A Host can serve a minimal session from the resume point on: enough for a
// client to see that it works, to sign in and to leave. Every sign-in is
// accepted and told to sink, which may be nil. It is for demonstrations and
// tests; it stores nothing and guards nothing. It returns nil when the client
// leaves in good order.
type Host interface {
	Serve(w *Wire, h Hello, sink Sink) error
}

// Sink is told what a client gave away in a session; see [Host].
type Sink func(Leak)

// Leak is something a client gave away.
type Leak struct {
	What      string // "sign-in", "content" or "metadata"
	Mechanism string // of a sign-in
	User      string
	Secret    []byte // of a sign-in; never log it

	// Said is what gave it away, from sessions that have it: the argument of
	// SMTP's MAIL, or the message.
	Said []byte
}

// Tell calls s, if it is not nil.
func (s Sink) Tell(l Leak) {
	if s != nil {
		s(l)
	}
}

// A Mover has lies to tell to clients in the words of its protocol, for tests of
// clients: what anybody on the path could say in the server's place.
type Mover interface {
	// Moves gives them. trap is an address, host and port, at which no careful
	// client turns up: where referrals lead.
	Moves(trap string) []Move
}

// Move is one lie of a server. It is told by the protocol's own halves, which
// offer TLS without insisting on it; a zero field leaves them as they are.
type Move struct {
	ID    string // lab's catalogue has the words for it
	Hide  bool   // no TLS is offered
	Hello Hello  // Greeting and Caps, if not nil, take the place of the usual ones
	// GoAhead, if not nil, gives what is said in the place of the consent to TLS,
	// msg; heard is the request.
	GoAhead func(heard, msg []byte) []byte
	// Reply, if not nil, gives what is said in the place of each other message;
	// heard is what the client has said since the last, tls where that was.
	Reply func(tls bool, heard, said []byte) []byte
	// Withhold keeps the first answer inside TLS back for a while: a client that
	// goes on without it has taken something said in clear for it.
	Withhold bool
	// Tells are words that the client says inside TLS only if it fell for it.
	Tells []string
}

// Side is one end of a connection.
type Side int

const (
	ClientSide Side = iota // who dialled
	ServerSide             // who listened
)

func (s Side) String() string {
	if s == ServerSide {
		return "server"
	}
	return "client"
}

var errNilConn = errors.New("no connection")

var _ net.Conn = (*Conn)(nil)
