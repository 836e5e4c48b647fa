package tlsprobe

import (
	"bytes"
	"context"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// renegotiations is how often a connection is renegotiated before the server is
// said to set no bound to it.
const renegotiations = 3

// classic is what finished handshakes of TLS 1.0 to 1.2 show: at most four
// connections tell all there is of tickets, resumption and renegotiation.
type classic struct {
	version uint16 // 0: the server has none of these versions

	unfinished string // why the first handshake could not be finished; "": it could
	secure     bool   // renegotiation is bound to what was before (RFC 5746)
	accepted   int    // renegotiations that the server went along with
	last       *Answer

	ticket   *tlswire.SessionTicket
	byTicket *Answer // to a hello with the ticket and session ID ticketID
	ticketID []byte
	byID     *Answer // to a hello with the session ID of a handshake without tickets
	id       []byte
}

func (s *Server) finished(ctx context.Context) (*classic, error) {
	return s.classic.get(func() (*classic, error) {
		v, err := s.newest(ctx, tlswire.TLS12)
		if err != nil || v == nil {
			return &classic{}, err
		}
		c := &classic{version: v.Version}
		if v.Version == tlswire.SSL3 {
			c.unfinished, c.last = "a handshake of SSL 3.0 can not be finished here", v.Answer
			return c, nil
		}
		if err := s.renegotiate(ctx, c); err != nil || c.unfinished != "" {
			return c, err
		}
		if err := s.resumeTicket(ctx, c); err != nil {
			return c, err
		}
		return c, s.resumeID(ctx, c)
	})
}

// renegotiate finishes a handshake, takes the ticket, and asks for
// renegotiation.
func (s *Server) renegotiate(ctx context.Context, c *classic) error {
	x, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer x.close()
	h := s.finishable(c.version).with(tlswire.Ticket(nil))
	a, err := x.send(h)
	if err != nil {
		return err
	}
	if c.ticket, err = x.finish(a); err != nil {
		c.unfinished, c.last = err.Error(), a
		return nil
	}
	c.secure = a.Extensions.Has(tlswire.ExtRenegotiationInfo)
	for c.accepted < renegotiations {
		h := s.finishable(c.version)
		if c.secure {
			h = h.with(tlswire.RenegotiationInfo(x.verified))
		} else {
			h = h.without(tlswire.ExtRenegotiationInfo)
		}
		if c.last, err = x.send(h); err != nil {
			return err
		}
		if c.last.Outcome != Accepted {
			return nil
		}
		c.accepted++
		if _, err := x.finish(c.last); err != nil {
			return nil
		}
	}
	x.WriteAlert(tlswire.Alert{Level: tlswire.Warning, Code: tlswire.CloseNotify})
	return nil
}

// resumeTicket offers the ticket with a session ID of 31 bytes. A server that
// resumes echoes it (RFC 5077, section 3.4), one with Ticketbleed with a byte
// of its memory behind.
func (s *Server) resumeTicket(ctx context.Context, c *classic) (err error) {
	if c.ticket == nil {
		return nil
	}
	id := tlswire.Random()
	c.ticketID = id[:31]
	h := s.finishable(c.version).with(tlswire.Ticket(c.ticket.Ticket))
	h.SessionID = c.ticketID
	c.byTicket, err = s.ask(ctx, h)
	return err
}

// resumeID finishes a handshake without a ticket and offers its session ID.
func (s *Server) resumeID(ctx context.Context, c *classic) error {
	x, err := s.open(ctx)
	if err != nil {
		return err
	}
	a, err := x.send(s.finishable(c.version))
	if err == nil {
		if _, unfinished := x.finish(a); unfinished == nil {
			c.id = a.Hello.SessionID
			x.WriteAlert(tlswire.Alert{Level: tlswire.Warning, Code: tlswire.CloseNotify})
		}
	}
	x.close()
	if err != nil || len(c.id) == 0 {
		return err
	}
	h := s.finishable(c.version)
	h.SessionID = c.id
	c.byID, err = s.ask(ctx, h)
	return err
}

// Resumption is which ways of resuming a session the server has.
type Resumption struct {
	Ticket   *tlswire.SessionTicket // that it issued before TLS 1.3; nil: none
	ByTicket bool
	ByID     bool // RFC 5246, section 7.4.1.2

	Tickets13 []*tlswire.SessionTicket // in TLS 1.3
	By13      bool
}

// Resumption finishes handshakes and resumes them, with what the server has of
// TLS 1.3 and of the versions before.
func (s *Server) Resumption(ctx context.Context) (*Resumption, error) {
	out := &Resumption{}
	c, err := s.finished(ctx)
	if err != nil {
		return nil, err
	}
	out.Ticket = c.ticket
	out.ByTicket = c.byTicket != nil && c.byTicket.Resumed
	out.ByID = c.byID != nil && c.byID.Resumed && bytes.Equal(c.byID.Hello.SessionID, c.id)
	if v, err := s.supports(ctx, tlswire.TLS13); err != nil || v == nil {
		return out, err
	}
	suites := pick(tlswire.Suites(tlswire.TLS13), tlswire.Suite.CanSchedule)
	tickets, err := s.tickets13(ctx, suites)
	if err != nil || len(tickets) == 0 {
		return out, err
	}
	for _, t := range tickets {
		out.Tickets13 = append(out.Tickets13, t.SessionTicket)
	}
	a, err := s.ask(ctx, tickets[0].resume(s.hello(tlswire.TLS13, suites)))
	if err == nil {
		out.By13 = a.Resumed
	}
	return out, err
}

func (s *Server) tickets13(ctx context.Context, suites []uint16) ([]*ticket13, error) {
	x, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer x.close()
	a, err := x.send(s.hello(tlswire.TLS13, suites))
	if err != nil || !a.Whole {
		return nil, err
	}
	tickets, err := x.finish13(a)
	if err != nil && ctx.Err() == nil {
		err = nil // the server's doing
	}
	return tickets, err
}

// Ticketbleed offers a ticket with a session ID of 31 bytes, and looks whether
// it comes back with a 32nd from the server's memory (CVE-2016-9244).
func (s *Server) Ticketbleed(ctx context.Context) (Finding, error) {
	c, err := s.finished(ctx)
	switch {
	case err != nil:
		return Finding{}, err
	case c.version == 0:
		return without("version before TLS 1.3")
	case c.unfinished != "":
		return finding(Inconclusive, c.unfinished, c.last), nil
	case c.ticket == nil:
		return without("session tickets")
	case c.byTicket.Hello == nil:
		return finding(Inconclusive, "a hello with a ticket was "+c.byTicket.String(), c.byTicket), nil
	}
	if id := c.byTicket.Hello.SessionID; len(id) > len(c.ticketID) && bytes.HasPrefix(id, c.ticketID) {
		f := finding(Vulnerable, "it gives back a longer session ID than it was given", c.byTicket)
		said := f.Evidence[0].Received
		f.Evidence[0].Received = said[:bytes.Index(said, id)+len(c.ticketID)] // not what leaked
		return f, nil
	}
	return finding(Safe, "it gives back the session ID as it was", c.byTicket), nil
}

// renegotiation gives the finding of who can not be asked for renegotiation.
func (c *classic) renegotiation() (f Finding, done bool) {
	switch {
	case c.version == 0:
		f, _ = without("version before TLS 1.3")
	case c.unfinished != "":
		f = finding(Inconclusive, c.unfinished, c.last)
	case c.accepted == 0 && c.last.Outcome == TimedOut:
		f = finding(Inconclusive, "no answer to a request for renegotiation", c.last)
	default:
		return f, false
	}
	return f, true
}

// InsecureRenegotiation tells whether the server renegotiates without binding
// the new handshake to the old one, so that an attacker's words can be put
// before a client's (CVE-2009-3555, RFC 5746).
func (s *Server) InsecureRenegotiation(ctx context.Context) (Finding, error) {
	c, err := s.finished(ctx)
	if err != nil {
		return Finding{}, err
	}
	f, done := c.renegotiation()
	switch {
	case done:
		return f, nil
	case c.secure:
		return finding(Safe, "renegotiation is bound to what was before", c.last), nil
	case c.accepted > 0:
		return finding(Vulnerable, "it renegotiates without renegotiation_info", c.last), nil
	}
	return finding(Safe, "it lacks renegotiation_info, and renegotiation was "+c.last.String(), c.last), nil
}

// RenegotiationDoS tells whether a client can have one connection renegotiated
// again and again, at a cost that is mostly the server's (CVE-2011-1473). Three
// times are taken for any number.
func (s *Server) RenegotiationDoS(ctx context.Context) (Finding, error) {
	c, err := s.finished(ctx)
	if err != nil {
		return Finding{}, err
	}
	f, done := c.renegotiation()
	switch {
	case done:
		return f, nil
	case c.accepted == renegotiations:
		return finding(Vulnerable, "it renegotiates as often as a client asks", c.last), nil
	case c.accepted > 0:
		return finding(Safe, "it renegotiates, but not often", c.last), nil
	}
	return finding(Safe, "renegotiation was "+c.last.String(), c.last), nil
}
