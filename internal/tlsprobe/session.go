package tlsprobe

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// segmentGap is the pause between the two segments of a hello: long enough for
// the server to read the first alone.
const segmentGap = 50 * time.Millisecond

// session is one connection, from where TLS begins.
type session struct {
	*tlswire.Conn
	ctx     context.Context
	release func()
	stop    func() bool

	hello      *Hello
	answer     *Answer
	transcript []byte // all messages from the hello on
	sent       int    // bytes of the hello in it

	// What goes on from a finished handshake, see finish.
	verified []byte            // our Finished, for renegotiation
	schedule *tlswire.Schedule // TLS 1.3
	next     tlswire.Protection
}

// newSession returns a session over nc whose reads and writes end with ctx.
func newSession(ctx context.Context, nc net.Conn) *session {
	x := &session{Conn: tlswire.NewConn(nc), ctx: ctx, release: func() {}}
	x.stop = context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	return x
}

func (x *session) close() {
	x.stop()
	x.release()
}

// Send writes h on nc, which stands where TLS begins, and reads the server's
// first flight. It neither closes nc nor sets its deadline, except that the end
// of ctx ends all I/O. The error is that of ctx, or says that h can not be
// written down; all that the server does is in the Answer.
func Send(ctx context.Context, nc net.Conn, h *Hello) (*Answer, error) {
	x := newSession(ctx, nc)
	defer x.close()
	return x.send(h)
}

// send sends h and reads the first flight. On a session that was finished it
// asks for renegotiation.
func (x *session) send(h *Hello) (*Answer, error) {
	a := new(Answer)
	x.hello, x.answer, x.transcript = h, a, nil
	x.Sent, x.Received = nil, nil
	err := x.exchange(h, a)
	a.Sent, a.Received = x.Sent, x.Received
	if x.ctx.Err() != nil {
		return nil, context.Cause(x.ctx)
	}
	return a, err
}

func (x *session) exchange(h *Hello, a *Answer) error {
	if h.SSL2 != nil {
		x.ssl2(h, a)
		return nil
	}
	message, err := h.Marshal()
	if err != nil {
		return err
	}
	if h.psk != nil {
		h.psk.schedule().Bind(message)
	}
	x.transcript, x.sent = message, len(message)
	if err := x.write(h, message); err != nil {
		a.ended(err)
		return nil
	}
	x.serverHello(a)
	return nil
}

// write sends the message in the records and segments that h asks for.
func (x *session) write(h *Hello, message []byte) error {
	version := h.RecordVersion
	switch {
	case x.Out != nil:
		return x.WriteMessages(message)
	case version == 0:
		version = min(h.Version, tlswire.TLS10) // RFC 8446, appendix D.1
	}
	var out []byte
	for _, r := range tlswire.Cut(tlswire.HandshakeRecord, version, message, h.RecordSize) {
		out = r.Append(out)
	}
	if h.Segment <= 0 || h.Segment >= len(out) {
		return x.Write(out)
	}
	if err := x.Write(out[:h.Segment]); err != nil {
		return err
	}
	pause(x.ctx, segmentGap)
	return x.Write(out[h.Segment:])
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (x *session) ssl2(h *Hello, a *Answer) {
	err := x.Write(h.SSL2.Marshal())
	var body []byte
	if err == nil {
		body, err = x.ReadSSL2()
	}
	if err == nil {
		a.SSL2, err = tlswire.ParseSSL2ServerHello(body)
	}
	if err != nil {
		a.ended(err)
		return
	}
	a.Outcome, a.Version, a.Whole = Accepted, a.SSL2.Version, true
	if len(a.SSL2.Certificate) > 0 {
		a.Chain = [][]byte{a.SSL2.Certificate}
	}
}

// message reads the next handshake message into the transcript. Warnings are
// noted and passed over, and in a session that was finished, what the server
// says in it. A HelloRequest is no part of the handshake (RFC 5246, section
// 7.4.1.1).
func (x *session) message(a *Answer) (tlswire.Message, error) {
	for {
		m, err := x.ReadMessage()
		var alert tlswire.Alert
		var other *tlswire.UnexpectedError
		switch {
		case errors.As(err, &alert) && alert.Level == tlswire.Warning && passable(alert.Code) && len(a.Warnings) < 16:
			a.Warnings = append(a.Warnings, alert)
		case errors.As(err, &other) && other.Record.Type == tlswire.ApplicationData && x.Out != nil:
		case err == nil && m.Type == tlswire.HelloRequest:
		default:
			x.transcript = append(x.transcript, m.Raw...)
			return m, err
		}
	}
}

// passable tells whether a handshake can go on after a warning: not after one
// that says that there will be none.
func passable(code uint8) bool { return code != tlswire.CloseNotify && code != tlswire.NoRenegotiation }

// serverHello reads the ServerHello and what follows it.
func (x *session) serverHello(a *Answer) {
	m, err := x.message(a)
	if err == nil && m.Type != tlswire.ServerHelloMessage {
		err = &tlswire.UnexpectedError{Record: tlswire.Record{Type: tlswire.HandshakeRecord, Body: m.Raw}}
	}
	var sh *tlswire.ServerHello
	if err == nil {
		sh, err = tlswire.ParseServerHello(m.Body)
	}
	if err != nil {
		a.ended(err)
		return
	}
	a.Outcome, a.Hello, a.Extensions = Accepted, sh, sh.Extensions
	a.Version, a.Suite = sh.Version(), sh.Suite
	x.Version = a.Version
	x.note(a, sh.Extensions)
	if a.Version < tlswire.TLS13 {
		x.flight(a)
		return
	}
	a.Group, _, _ = sh.KeyShare()
	switch {
	case !sh.Retry():
		x.flight13(a)
	case a.Retried:
		a.ended(errors.New("a second HelloRetryRequest"))
	default:
		a.Retried = true
		x.retry(a)
	}
}

// note takes down what extensions say.
func (x *session) note(a *Answer, e tlswire.Extensions) {
	if data, ok := e.Get(tlswire.ExtALPN); ok {
		if names, err := tlswire.ParseProtocols(data); err == nil && len(names) == 1 {
			a.ALPN = names[0]
		}
	}
	if data, ok := e.Get(tlswire.ExtSCT); ok {
		a.SCTs, _ = tlswire.ParseSCTs(data)
	}
}

// flight reads the first flight as it is up to TLS 1.2 (RFC 5246, section 7.3).
func (x *session) flight(a *Answer) {
	for !a.Whole {
		m, err := x.message(a)
		var other *tlswire.UnexpectedError
		if errors.As(err, &other) && other.Record.Type == tlswire.ChangeCipherSpecRecord {
			a.Resumed, a.Whole = true, true
			return
		}
		if err == nil {
			err = a.take(m)
		}
		if err != nil {
			a.ended(err)
			return
		}
	}
}

// take takes one message of the flight.
func (a *Answer) take(m tlswire.Message) (err error) {
	switch m.Type {
	case tlswire.Certificate:
		a.Chain, err = tlswire.ParseCertificates(m.Body)
	case tlswire.CertificateStatus:
		a.Staple, err = tlswire.ParseStatus(m.Body)
	case tlswire.ServerKeyExchange:
		if a.KeyExchange, err = tlswire.ParseKeyExchange(a.Version, tlswire.SuiteByID(a.Suite), m.Body); err == nil {
			a.Group, a.Scheme = a.KeyExchange.Group, a.KeyExchange.Scheme
		}
	case tlswire.CertificateRequest:
		a.Asked, err = tlswire.ParseCertificateRequest(a.Version, m.Body)
	case tlswire.NewSessionTicket: // on a resumption
		_, err = tlswire.ParseTicket(a.Version, m.Body)
	case tlswire.ServerHelloDone:
		a.Whole = true
	default:
		err = &tlswire.UnexpectedError{Record: tlswire.Record{Type: tlswire.HandshakeRecord, Body: m.Raw}}
	}
	return err
}

// retry sends the hello again as a HelloRetryRequest asks (RFC 8446, section
// 4.1.4), unless the request was all that was wanted, or its group is beyond us.
func (x *session) retry(a *Answer) {
	if len(x.hello.Shares) == 0 || !tlswire.CanShare(a.Group) {
		return
	}
	h := x.hello.share(a.Group)
	h.RecordVersion = tlswire.TLS12 // RFC 8446, section 5.1
	if cookie, ok := a.Extensions.Get(tlswire.ExtCookie); ok {
		h = h.with(tlswire.Extension{Type: tlswire.ExtCookie, Data: cookie})
	}
	message, err := h.Marshal()
	if err != nil {
		a.ended(err)
		return
	}
	first := tlswire.RetryTranscript(tlswire.SuiteByID(a.Suite), x.transcript[:x.sent])
	x.transcript = slices.Concat(first, x.transcript[x.sent:], message)
	x.hello = h
	if err := x.write(h, message); err != nil {
		a.ended(err)
		return
	}
	x.serverHello(a)
}
