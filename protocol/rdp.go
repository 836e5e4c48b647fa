package protocol

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

// RDP is the Remote Desktop Protocol: its X.224 connection request negotiates
// the security protocol (MS-RDPBCGR, section 2.2.1.1). TLS follows at once,
// whether what was chosen is TLS or, in it, CredSSP (network level
// authentication), with which the session then begins. Hello.Auth names that.
var RDP = register(rdp{})

type rdp struct{}

func (rdp) Info() starttls.Info {
	return starttls.Info{
		Name: "rdp", Aliases: []string{"ms-wbt-server"}, Port: 3389, Title: "RDP, remote desktops", Reference: "MS-RDPBCGR",
		Binary: true, Unadvertised: true,
	}
}

// Of X.224 and of the negotiation in it.
const (
	rdpRequest  = 0xe0 // TPDU codes
	rdpConfirm  = 0xd0
	rdpData     = 0xf0
	rdpAsks     = 1 // kinds of negotiation
	rdpAnswers  = 2
	rdpFails    = 3
	rdpTLS      = 1 // security protocols
	rdpCredSSP  = 2
	rdpMost     = 4096 // bytes of a packet
	rdpNeedsTLS = 1    // failures
	rdpNoTLS    = 2
	rdpNoCert   = 3

	rdpNeedsCredSSP = 5
	rdpNeedsUser    = 6
)

// rdpFailures are the reasons of a failed negotiation (section 2.2.1.2.2).
var rdpFailures = map[uint32]string{
	rdpNeedsTLS: "SSL_REQUIRED_BY_SERVER", rdpNoTLS: "SSL_NOT_ALLOWED_BY_SERVER", rdpNoCert: "SSL_CERT_NOT_ON_SERVER",
	4: "INCONSISTENT_FLAGS", rdpNeedsCredSSP: "HYBRID_REQUIRED_BY_SERVER", rdpNeedsUser: "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
}

// tpkt builds a packet (RFC 2126, section 4.3) with a TPDU's head and data.
func tpkt(tpdu string, data []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{3, 0}, uint16(4+len(tpdu)+len(data)))
	return append(append(b, tpdu...), data...)
}

// readTPKT reads a packet and returns its TPDU.
func readTPKT(w *starttls.Wire) ([]byte, error) {
	head, err := w.ReadN(4)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if head[0] != 3 || n < 7 || n > rdpMost {
		return nil, &starttls.ReplyError{Expected: "a TPKT", Reply: head}
	}
	return w.ReadN(n - 4)
}

// rdpConnection builds a connection request or confirm with a negotiation.
func rdpConnection(code, kind byte, value uint32) []byte {
	n := binary.LittleEndian.AppendUint32([]byte{kind, 0, 8, 0}, value)
	return tpkt(string([]byte{14, code, 0, 0, 0, 0, 0}), n)
}

// rdpNegotiation takes a connection TPDU apart. A client may put a cookie or a
// token before the negotiation, which ends with CRLF.
func rdpNegotiation(tpdu []byte, code byte) (kind byte, value uint32, cookie string, ok bool) {
	if len(tpdu) < 7 || tpdu[1] != code || int(tpdu[0])+1 != len(tpdu) {
		return 0, 0, "", false
	}
	rest := tpdu[7:]
	if before, after, found := strings.Cut(string(rest), "\r\n"); found && code == rdpRequest {
		cookie, rest = before, []byte(after)
	}
	if len(rest) >= 8 && rest[2] == 8 && rest[3] == 0 {
		return rest[0], binary.LittleEndian.Uint32(rest[4:]), cookie, true
	}
	return 0, 0, cookie, true
}

func (rdp) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask(rdpConnection(rdpRequest, rdpAsks, rdpTLS|rdpCredSSP)); err != nil {
		return h, err
	}
	tpdu, err := readTPKT(w)
	if err != nil {
		return h, err
	}
	kind, value, _, ok := rdpNegotiation(tpdu, rdpConfirm)
	switch {
	case !ok:
		return h, &starttls.ReplyError{Expected: "a connection confirm", Reply: tpdu}
	case kind == rdpFails:
		return h, &starttls.RefusedError{Reply: tpdu, Text: or(rdpFailures[value], fmt.Sprintf("failure %d", value)), Temporary: value == rdpNoCert}
	case kind == 0 || kind == rdpAnswers && value == 0:
		return h, &starttls.RefusedError{Reply: tpdu, Text: "it has nothing but RDP's own encryption"}
	case kind != rdpAnswers || value != rdpTLS && value != rdpCredSSP:
		return h, &starttls.ReplyError{Expected: "TLS or CredSSP", Reply: tpdu}
	}
	h.Offered, h.Auth = true, []string{"TLS"}
	if value == rdpCredSSP {
		h.Auth = []string{"CredSSP"}
	}
	return h, nil
}

// Probe begins the session as far as the server answers without a sign-in: with
// NTLM's first message where CredSSP was chosen, with MCS's connect otherwise.
func (p rdp) Probe(w *starttls.Wire) (starttls.Hello, error) {
	if !w.Upgraded() {
		return p.probeClear(w)
	}
	h := starttls.Hello{Auth: w.Before().Auth}
	if slices.Contains(h.Auth, "CredSSP") {
		if _, err := w.Write(credSSPNegotiate()); err != nil {
			return h, err
		}
		e, raw, err := readBER(w)
		if err == nil && e.tag != 0x30 {
			err = &starttls.ReplyError{Expected: "CredSSP's answer", Reply: raw}
		}
		return h, err
	}
	if _, err := w.Write(mcsConnect()); err != nil {
		return h, err
	}
	tpdu, err := readTPKT(w)
	if err == nil && (len(tpdu) < 5 || tpdu[1] != rdpData || tpdu[3] != 0x7f || tpdu[4] != 0x66) {
		err = &starttls.ReplyError{Expected: "MCS's connect response", Reply: tpdu}
	}
	return h, err
}

// probeClear asks for no protocol but RDP's own.
func (rdp) probeClear(w *starttls.Wire) (h starttls.Hello, err error) {
	if _, err := w.Write(rdpConnection(rdpRequest, rdpAsks, 0)); err != nil {
		return h, err
	}
	tpdu, err := readTPKT(w)
	if err != nil {
		return h, err
	}
	kind, value, _, ok := rdpNegotiation(tpdu, rdpConfirm)
	if !ok {
		return h, &starttls.ReplyError{Expected: "a connection confirm", Reply: tpdu}
	}
	if kind == rdpFails {
		h.Caps = []string{"error: " + or(rdpFailures[value], fmt.Sprintf("failure %d", value))}
	}
	return h, nil
}

func (p rdp) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	head, err := w.Peek(4)
	if err != nil {
		return out, err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if head[0] != 3 || n < 11 || n > rdpMost {
		bad, _ := w.ReadN(4)
		return out, &starttls.ReplyError{Expected: "a TPKT", Reply: bad}
	}
	packet, err := w.Peek(n)
	if err != nil {
		return out, err
	}
	kind, wants, cookie, ok := rdpNegotiation(packet[4:], rdpRequest)
	if !ok {
		bad, _ := w.ReadN(n)
		return out, &starttls.ReplyError{Expected: "a connection request", Reply: bad[:11]}
	}
	out.Peer = strings.TrimPrefix(cookie, "Cookie: mstshash=")
	request := kind == rdpAsks && wants&rdpTLS != 0
	if !request && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
		return out, nil
	}
	if _, err := w.ReadN(n); err != nil {
		return out, err
	}
	failure := uint32(rdpNeedsTLS)
	switch {
	case request && (offer.Mode == starttls.Grant || offer.Mode == starttls.Optional):
		reply := offer.Reply
		if len(reply) == 0 {
			reply = rdpConnection(rdpConfirm, rdpAnswers, rdpTLS)
		}
		out.TLS = true
		return out, w.GoAhead(reply)
	case request && offer.Mode == starttls.Decline:
		failure = rdpNoCert
	case request:
		failure = rdpNoTLS
	}
	_, err = w.Write(rdpConnection(rdpConfirm, rdpFails, failure))
	return out, cmpErr(err, starttls.ErrNotUpgraded)
}

// Serve answers the beginning of a session, and ends it.
func (rdp) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		tpdu, err := readTPKT(w)
		if err != nil {
			return err
		}
		switch {
		case tpdu[1] == rdpRequest: // where there was no upgrade
			_, err = w.Write(rdpConnection(rdpConfirm, rdpAnswers, 0))
		case tpdu[1] == rdpData && len(tpdu) > 5 && tpdu[3] == 0x7f && tpdu[4] == 0x65:
			sink.Tell(starttls.Leak{What: "metadata"})
			_, err = w.Write(mcsReject(tpdu))
		case tpdu[1] == 0x80: // disconnect request
			return nil
		default:
			err = w.Refused()
		}
		if err != nil {
			return err
		}
	}
}
