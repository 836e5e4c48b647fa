package mta

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// Protocol is what senders speak.
var Protocol starttls.Protocol = protocol.SMTP

// session is one connection of a sender to a mail server.
type session struct {
	host, stage int
	tls         bool
	mail        []string // arguments of MAIL
	messages    int
	evidence    []string
}

const (
	longest = 10 << 20         // bytes of a message: a report is one
	quiet   = 30 * time.Second // that a sender may say nothing
	whole   = 5 * time.Minute  // that a connection may take
)

// mailServer is what a sender meets.
type mailServer struct {
	name    string
	cert    *tls.Certificate
	other   *tls.Certificate // for those who do not ask for its name; nil: cert
	hide    bool             // TLS
	caps    []string         // listed inside TLS; in clear if TLS is hidden
	active  func()           // called now and then while a sender speaks
	message func([]byte)     // called with each message; may be nil
}

func (s *site) acceptMail(l net.Listener, host int) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		s.lab.running.Go(func() { s.receive(nc, host) })
	}
}

func (s *site) receive(nc net.Conn, host int) {
	n, st := s.now()
	got, h, m := session{host: host, stage: n}, st.hosts[host], s.hosts[host]
	active := func() { s.event(func() {}) }
	active()
	server := mailServer{name: m.name, cert: m.certs[n], hide: h.hide, caps: h.caps, active: active}
	if h.asked {
		server.other = m.other
	}
	got.serve(s.lab.ctx, nc, server)
	if got.messages > 0 {
		s.advance()
	}
	s.event(func() { s.seen.sessions = append(s.seen.sessions, got) })
	s.lab.tell(s.judgeOne(got))
}

// serve speaks with one sender, and closes nc.
func (g *session) serve(ctx context.Context, nc net.Conn, m mailServer) {
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, whole)
	defer cancel()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	cfg := &starttls.Config{ServerName: m.name, TLS: &tls.Config{GetCertificate: m.certificate}, Offer: starttls.Offer{Mode: starttls.Optional}}
	inside := starttls.Hello{Caps: m.caps}
	if m.hide {
		cfg.Offer.Mode, cfg.Hello = starttls.Hide, inside
	}
	conn, err := starttls.Server(ctx, nc, Protocol, cfg)
	if err != nil {
		var e *starttls.Error
		if errors.As(err, &e) {
			g.note(e.Transcript)
		}
		g.evidence = append(g.evidence, "S: ("+starttls.Escape(err.Error())+")")
		return
	}
	g.note(conn.Transcript())
	g.tls = conn.TLS() != nil
	w := starttls.NewWire(ctx, &patient{conn, m.active}, starttls.WireConfig{Side: starttls.ServerSide, ServerName: m.name, TLS: g.tls, Upgraded: g.tls,
		Limits: starttls.Limits{Lines: longest / 16, Bytes: longest}})
	defer w.Release()
	w.Redact(redaction())
	protocol.SMTP.Serve(w, inside, func(l starttls.Leak) {
		switch l.What {
		case "metadata":
			g.mail = append(g.mail, string(l.Said))
		case "content":
			g.messages++
			if m.message != nil {
				m.message(l.Said)
			}
		}
	})
	g.note(w.Transcript())
}

func (m mailServer) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if m.other != nil && !strings.EqualFold(hello.ServerName, m.name) {
		return m.other, nil
	}
	return m.cert, nil
}

func (g *session) note(t starttls.Transcript) {
	for _, e := range t {
		g.evidence = append(g.evidence, e.Lines()...)
	}
}

// redaction keeps the commands of a session, and nothing of its messages and
// sign-ins.
func redaction() func([]byte) []byte {
	inMessage := false
	return func(msg []byte) []byte {
		line := strings.ToUpper(string(bytes.TrimRight(msg, "\r\n")))
		verb, _, _ := strings.Cut(line, " ")
		switch {
		case line == ".":
			inMessage = false
			return msg
		case inMessage:
		case line == "DATA":
			inMessage = true
			return msg
		case verb == "EHLO", verb == "HELO", verb == "MAIL", verb == "RCPT", verb == "RSET", verb == "NOOP", verb == "QUIT":
			return msg
		}
		return []byte("[...]")
	}
}

// patient is a connection that waits so long for each word, and tells of it.
type patient struct {
	net.Conn
	active func()
}

func (c *patient) Read(b []byte) (int, error) {
	c.active()
	c.SetDeadline(time.Now().Add(quiet))
	return c.Conn.Read(b)
}
