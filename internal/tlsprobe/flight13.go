package tlsprobe

import (
	"encoding/binary"
	"slices"
	"time"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// flight13 reads the encrypted rest of the first flight in TLS 1.3 (RFC 8446,
// section 2), where the hello's shares and the suite let it. What they do not
// let it read leaves the Answer without Whole.
func (x *session) flight13(a *Answer) {
	suite := tlswire.SuiteByID(a.Suite)
	_, public, ok := a.Hello.KeyShare()
	i := slices.IndexFunc(x.hello.Shares, func(k *tlswire.KeyShare) bool { return k.Group == a.Group })
	if a.Extensions.Has(tlswire.ExtPreSharedKey) {
		a.Resumed = true
		return
	}
	if !ok || i < 0 || !suite.CanSchedule() {
		return
	}
	err := x.keys13(suite, x.hello.Shares[i], public)
	for err == nil && !a.Whole {
		var m tlswire.Message
		if m, err = x.message(a); err == nil {
			err = x.take13(a, m)
		}
	}
	if err != nil {
		a.ended(err)
	}
}

func (x *session) keys13(suite tlswire.Suite, share *tlswire.KeyShare, public []byte) error {
	secret, err := share.Secret(public)
	if err != nil {
		return err
	}
	x.schedule = tlswire.NewSchedule(suite, nil)
	x.next, x.In, err = x.schedule.Handshake(secret, x.transcript)
	return err
}

// take13 takes one message of the flight.
func (x *session) take13(a *Answer, m tlswire.Message) (err error) {
	switch m.Type {
	case tlswire.EncryptedExtensions:
		var e tlswire.Extensions
		if e, err = tlswire.ParseEncryptedExtensions(m.Body); err == nil {
			a.Extensions = slices.Concat(a.Extensions, e)
			x.note(a, e)
		}
	case tlswire.CertificateRequest:
		a.Asked, err = tlswire.ParseCertificateRequest(a.Version, m.Body)
	case tlswire.Certificate:
		var entries []tlswire.CertificateEntry
		if entries, err = tlswire.ParseCertificates13(m.Body); err != nil {
			return err
		}
		for _, e := range entries {
			a.Chain = append(a.Chain, e.DER)
		}
		if len(entries) > 0 {
			x.note(a, entries[0].Extensions)
			if data, ok := entries[0].Extensions.Get(tlswire.ExtStatusRequest); ok {
				a.Staple, err = tlswire.ParseStatus(data)
			}
		}
	case tlswire.CertificateVerify:
		if len(m.Body) >= 2 {
			a.Scheme = binary.BigEndian.Uint16(m.Body)
		}
	case tlswire.Finished:
		a.Whole = true
	default:
		err = &tlswire.UnexpectedError{Record: tlswire.Record{Type: tlswire.HandshakeRecord, Body: m.Raw}}
	}
	return err
}

// finish13 finishes the handshake, says goodbye at once, and reads the tickets
// that came before the server's own goodbye (RFC 8446, section 4.6.1). The
// certificate it is asked for is none.
func (x *session) finish13(a *Answer) (tickets []*ticket13, err error) {
	fromServer := len(x.transcript)
	var ours [][]byte
	if a.Asked != nil {
		ours = append(ours, tlswire.NoCertificate13(a.Asked.Context))
		x.transcript = append(x.transcript, ours[0]...)
	}
	finished := x.schedule.Finished(x.transcript)
	x.Out = x.next
	if err := x.WriteMessages(append(ours, finished)...); err != nil {
		return nil, err
	}
	before := x.transcript[:fromServer:fromServer]
	x.transcript = append(x.transcript, finished...)
	if x.Out, x.In, err = x.schedule.Application(before); err != nil {
		return nil, err
	}
	if err := x.WriteAlert(tlswire.Alert{Level: tlswire.Warning, Code: tlswire.CloseNotify}); err != nil {
		return nil, err
	}
	whole := x.transcript[:len(x.transcript):len(x.transcript)]
	for len(tickets) < 16 {
		m, err := x.message(a)
		if err != nil {
			return tickets, nil // its goodbye, or the end
		}
		if m.Type != tlswire.NewSessionTicket {
			continue
		}
		if t, err := tlswire.ParseTicket(a.Version, m.Body); err == nil {
			tickets = append(tickets, &ticket13{t, tlswire.SuiteByID(a.Suite), a.Group, x.schedule.Resumption(whole, t.Nonce), time.Now()})
		}
	}
	return tickets, nil
}

// ticket13 is a ticket of TLS 1.3 with what resuming takes.
type ticket13 struct {
	*tlswire.SessionTicket
	suite tlswire.Suite
	group uint16
	key   []byte
	since time.Time
}

func (t *ticket13) schedule() *tlswire.Schedule { return tlswire.NewSchedule(t.suite, t.key) }

// resume makes h a hello that resumes the session: with the group that the
// server chose then, so that it does not ask for another hello.
func (t *ticket13) resume(h *Hello) *Hello {
	age := uint32(time.Since(t.since).Milliseconds()) + t.AgeAdd
	h = h.with(tlswire.Groups([]uint16{t.group})).share(t.group).with(tlswire.PreSharedKey(t.Ticket, age, t.suite.HandshakeHash()().Size()))
	h.psk = t
	return h
}
