package protocol

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

// VNC is the remote framebuffer protocol, RFC 6143, upgraded by its security
// type VeNCrypt (rfbproto, "VeNCrypt"). Only the X509 subtypes are spoken:
// those whose key exchange is anonymous prove nobody's identity, and are told
// of in Caps alone.
var VNC = register(vnc{})

type vnc struct{}

func (vnc) Info() starttls.Info {
	return starttls.Info{
		Name: "vnc", Aliases: []string{"rfb"}, Port: 5900, Title: "VNC, remote screens", Reference: "rfbproto, VeNCrypt",
		ServerFirst: true, Binary: true, Greeting: vncVersion,
	}
}

const (
	vncVersion  = "RFB 003.008\n"
	vncVeNCrypt = 19
	vncNone     = 1
)

// vncTypes are names of security types.
var vncTypes = map[byte]string{vncNone: "None", 2: "VNC", 5: "RA2", 6: "RA2ne", 16: "Tight", 18: "TLS", vncVeNCrypt: "VeNCrypt", 30: "ARD"}

// vncSubtypes are VeNCrypt's; those that begin with X509 have a certificate.
var vncSubtypes = map[uint32]string{256: "Plain", 257: "TLSNone", 258: "TLSVnc", 259: "TLSPlain", vncX509None: "X509None", vncX509Vnc: "X509Vnc", vncX509Plain: "X509Plain",
	263: "TLSSASL", 264: "X509SASL", 265: "Ident", 266: "TLSIdent", 267: "X509Ident"}

const (
	vncX509None  = 260
	vncX509Vnc   = 261
	vncX509Plain = 262
)

// vncWanted are the subtypes that are spoken, the first before the others. The
// one that was taken stands alone in Hello.Auth: the session begins with its
// sign-in.
var vncWanted = []uint32{vncX509None, vncX509Vnc, vncX509Plain}

func (p vnc) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	var err error
	if h.Greeting, err = w.ReadN(len(vncVersion)); err != nil {
		return h, err
	}
	if string(h.Greeting[:4]) != "RFB " || h.Greeting[11] != '\n' {
		return h, &starttls.ReplyError{Expected: "a version of RFB", Reply: h.Greeting}
	}
	if ask == starttls.NoAsk {
		return h, nil
	}
	if string(h.Greeting) < vncVersion { // security types are a choice of the client's from 3.7 on
		return h, starttls.ErrNotOffered
	}
	if _, err := w.Write([]byte(vncVersion)); err != nil {
		return h, err
	}
	subtypes, err := p.subtypes(w, &h, ask)
	if err != nil {
		return h, err
	}
	i := slices.IndexFunc(vncWanted, func(s uint32) bool { return slices.Contains(subtypes, s) })
	if i < 0 {
		if ask == starttls.IfOffered {
			return h, starttls.ErrNotOffered
		}
		i = 0
	}
	h.Offered, h.Auth = slices.Contains(subtypes, vncWanted[i]), []string{vncSubtypes[vncWanted[i]]}
	if err := w.Ask(binary.BigEndian.AppendUint32(nil, vncWanted[i])); err != nil {
		return h, err
	}
	ack, err := w.ReadN(1)
	if err == nil && ack[0] != 1 {
		err = &starttls.RefusedError{Reply: ack}
	}
	return h, err
}

// subtypes reads the security types, takes VeNCrypt 0.2 and reads its subtypes.
func (vnc) subtypes(w *starttls.Wire, h *starttls.Hello, ask starttls.Ask) ([]uint32, error) {
	n, err := w.ReadN(1)
	if err != nil {
		return nil, err
	}
	if n[0] == 0 {
		return nil, vncReason(w)
	}
	types, err := w.ReadN(int(n[0]))
	if err != nil {
		return nil, err
	}
	h.Caps = vncNames(types)
	if !slices.Contains(types, vncVeNCrypt) && ask == starttls.IfOffered {
		return nil, starttls.ErrNotOffered
	}
	if _, err := w.Write([]byte{vncVeNCrypt}); err != nil {
		return nil, err
	}
	version, err := w.ReadN(2)
	if err != nil {
		return nil, err
	}
	if version[0] != 0 || version[1] < 2 {
		return nil, &starttls.ReplyError{Expected: "VeNCrypt 0.2", Reply: version}
	}
	if _, err := w.Write([]byte{0, 2}); err != nil {
		return nil, err
	}
	answer, err := w.ReadN(2)
	if err != nil {
		return nil, err
	}
	if answer[0] != 0 {
		return nil, &starttls.RefusedError{Reply: answer[:1], Text: "VeNCrypt 0.2 is not spoken"}
	}
	list, err := w.ReadN(4 * int(answer[1]))
	if err != nil {
		return nil, err
	}
	var out []uint32
	for ; len(list) > 0; list = list[4:] {
		s := binary.BigEndian.Uint32(list)
		out = append(out, s)
		h.Caps = append(h.Caps, "VeNCrypt "+or(vncSubtypes[s], fmt.Sprintf("subtype %d", s)))
	}
	return out, nil
}

// vncReason reads why a connection failed (RFC 6143, section 7.1.2).
func vncReason(w *starttls.Wire) error {
	n, err := w.ReadN(4)
	if err != nil {
		return err
	}
	text, err := w.ReadN(int(min(binary.BigEndian.Uint32(n), 1<<16+1)))
	if err != nil {
		return err
	}
	return &starttls.RefusedError{Reply: text, Text: string(text), Temporary: true}
}

// Probe begins the sign-in that was agreed on, as nobody, and reads what comes
// of it. The session is used up by it.
func (p vnc) Probe(w *starttls.Wire) (starttls.Hello, error) {
	if !w.Upgraded() { // nothing is agreed on but the server's version
		return p.probeTypes(w)
	}
	h := starttls.Hello{Auth: w.Before().Auth}
	switch agreed := strings.Join(h.Auth, ""); agreed {
	case vncSubtypes[vncX509Vnc]:
		_, err := w.ReadN(16) // the challenge
		return h, err
	case vncSubtypes[vncX509Plain]:
		const nobody = "\x00\x00\x00\x08\x00\x00\x00\x01starttls-"
		if _, err := w.Write([]byte(nobody)); err != nil {
			return h, err
		}
	}
	_, err := w.ReadN(4) // the result
	return h, err
}

func (vnc) probeTypes(w *starttls.Wire) (h starttls.Hello, err error) {
	if _, err := w.Write([]byte(vncVersion)); err != nil {
		return h, err
	}
	n, err := w.ReadN(1)
	if err != nil {
		return h, err
	}
	types, err := w.ReadN(int(n[0]))
	h.Caps = vncNames(types)
	return h, err
}

func vncNames(types []byte) (names []string) {
	for _, t := range types {
		names = append(names, or(vncTypes[t], fmt.Sprintf("type %d", t)))
	}
	return names
}

// Injection begins the session, shared with whoever is in it, and asks for one
// pixel of the screen: the first for the probe, the one below it for the
// control. A server may answer with more than was asked for, which is then no
// reply to the probe, so long as it is of more than one line. Only where there
// is no sign-in (X509None) are the commands understood.
func (vnc) Injection(_, _ string) starttls.Injection {
	request := func(y byte) []byte { return []byte{1, 3, 0, 0, 0, 0, y, 0, 1, 0, 1} }
	return starttls.Injection{
		Probe:   request(0),
		Control: request(1),
		Classify: func(said []byte) (r starttls.Reply) {
			const name = 4 + 24 // behind the result and the screen
			if len(said) < name || binary.BigEndian.Uint32(said) != 0 {
				return r
			}
			n := uint64(binary.BigEndian.Uint32(said[name-4:]))
			if n > uint64(len(said)-name) {
				return r
			}
			update := said[name+n:]
			if len(update) < 12 || update[0] != 0 {
				return r
			}
			y, height := binary.BigEndian.Uint16(update[6:]), binary.BigEndian.Uint16(update[10:])
			r.Probe = y == 0 && height == 1
			r.Control = !r.Probe
			return r
		},
	}
}
