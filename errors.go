package starttls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Stage is how far a connection had come.
type Stage string

const (
	StageDial      Stage = "dial"      // name look-up and TCP
	StageCleartext Stage = "cleartext" // up to the go-ahead
	StageHandshake Stage = "handshake" // TLS, with the verification of the certificate
	StageSession   Stage = "session"   // inside TLS
)

// Sentinels for control flow. Test for them with [errors.Is].
var (
	// ErrNotOffered: the server does not offer TLS and was not asked for it.
	ErrNotOffered = errors.New("the server does not offer TLS")
	// ErrAlreadyAuthenticated: the server opened the session as already signed
	// in (IMAP's PREAUTH, FTP's 230), where TLS can no longer be asked for
	// (RFC 9051, section 7.1.4).
	ErrAlreadyAuthenticated = errors.New("the server opened a session that is already signed in, where TLS can not be asked for")
	// ErrNotUpgraded: the client went on, or left, without TLS where it was required.
	ErrNotUpgraded = errors.New("the client did not ask for TLS")
	// ErrNoObject: what a Test is about does not exist on this server.
	ErrNoObject = errors.New("there is nothing to test here")
	// ErrMode: the mode has no meaning for the function called.
	ErrMode = errors.New("mode not possible here")
)

// Error is how every failure of this package is returned: to which peer, in
// which protocol and at which stage. Unwrap gives the cause.
type Error struct {
	Protocol string
	Addr     string // of the peer; empty if it has none
	Stage    Stage
	Err      error

	Asked      bool       // TLS had been asked for
	Before     Hello      // what the server had said in cleartext; untrusted
	Transcript Transcript // what was said until then, secrets left out
	Timings    Timings
}

func (e *Error) Error() string {
	s := e.Protocol
	if e.Addr != "" {
		s += " " + e.Addr
	}
	return s + ": " + string(e.Stage) + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the phase ran out of time.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.Is(e.Err, os.ErrDeadlineExceeded) || errors.As(e.Err, &t) && t.Timeout()
}

// A RefusedError is a well-formed answer that declines the request. Reply is
// what the server sent, verbatim and untrusted.
type RefusedError struct {
	Reply     []byte
	Text      string // what Reply says, where its bytes are not text; as untrusted as they are
	Temporary bool   // the protocol calls the condition temporary (SMTP 4xx, LDAP unavailable)
}

func (e *RefusedError) Error() string {
	if e.Text != "" {
		return "the server refused: " + Quote([]byte(e.Text))
	}
	return "the server refused: " + Quote(e.Reply)
}

// A ReplyError is an answer, or on a server something said, that the protocol
// does not allow at that point.
type ReplyError struct {
	Expected   string // "a reply to EHLO"
	Reply      []byte // what came instead, verbatim and untrusted
	FromClient bool   // it may hold a password: Error tells its length alone
}

func (e *ReplyError) Error() string {
	got := Quote(e.Reply)
	if e.FromClient {
		got = strconv.Itoa(len(e.Reply)) + " bytes"
	}
	return "expected " + e.Expected + ", got " + got
}

// An InjectedError is cleartext that was sent behind the request for TLS or
// behind the go-ahead, where only TLS may follow: bytes that a careless peer
// would take for something said inside TLS (CVE-2011-0411 and its kin).
type InjectedError struct {
	From  Side   // who sent them, or seems to have
	Bytes []byte // as they came; Error does not show a client's, among which a password may be
}

func (e *InjectedError) Error() string {
	return fmt.Sprintf("%d bytes of cleartext from the %s cross into TLS", len(e.Bytes), e.From) + shown(e.From, e.Bytes)
}

// shown is what an error shows of a peer's bytes.
func shown(from Side, b []byte) string {
	if from == ClientSide {
		return ""
	}
	return ": " + Quote(b)
}

// A CleartextError is cleartext where a TLS record was due. Bytes holds the
// first five of them; Error does not show a client's. It is not by itself a sign
// of injection: a server with no TLS behind its go-ahead looks the same.
type CleartextError struct {
	From  Side
	Bytes []byte
}

func (e *CleartextError) Error() string {
	return "the " + e.From.String() + " sent cleartext where TLS was due" + shown(e.From, e.Bytes)
}

// A LimitError says that the peer sent more than it may before TLS.
type LimitError struct {
	What  string // "line length", "lines", "bytes"
	Limit int
}

func (e *LimitError) Error() string {
	return "the peer exceeds the limit of " + strconv.Itoa(e.Limit) + " for " + e.What + " before TLS"
}

// A phaseTimeoutError says which phase ran out of time, and after how long.
type phaseTimeoutError struct {
	limit string
	err   error
}

func (e *phaseTimeoutError) Error() string { return "no end within " + e.limit }
func (e *phaseTimeoutError) Timeout() bool { return true }
func (e *phaseTimeoutError) Unwrap() error { return e.err }

// Quote renders untrusted bytes for people: on one line, control characters
// escaped, cut after 200 bytes.
func Quote(b []byte) string {
	const most = 200
	cut := ""
	if len(b) > most {
		b, cut = b[:most], "..."
	}
	return strconv.QuoteToASCII(strings.TrimRight(string(b), "\r\n")) + cut
}

// handshakeError turns crypto/tls's words for "that was no TLS" into ours.
func handshakeError(err error, from Side) error {
	var rec tls.RecordHeaderError
	if errors.As(err, &rec) && rec.RecordHeader[0] != recordHandshake && rec.RecordHeader[0] != recordAlert {
		return &CleartextError{From: from, Bytes: append([]byte(nil), rec.RecordHeader[:]...)}
	}
	return err
}
