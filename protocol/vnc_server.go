package protocol

import (
	"encoding/binary"
	"fmt"

	"example.org/starttls"
)

// Server offers VeNCrypt alone, and of its subtypes X509None alone: what signs
// people in is the session's, and this half knows no session.
func (p vnc) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(func(msg []byte) []byte { // versions, types and subtypes; no password comes before TLS
		if len(msg) <= 4 || string(msg[:4]) == vncVersion[:4] {
			return msg
		}
		return fmt.Appendf(nil, "[%d bytes]", len(msg))
	})
	greeting := h.Greeting
	if greeting == nil {
		greeting = []byte(vncVersion)
	}
	if _, err := w.Write(greeting); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	version, err := w.ReadN(len(vncVersion))
	if err != nil {
		return out, err
	}
	if string(version[:4]) != "RFB " || string(version) < "RFB 003.007\n" {
		return out, &starttls.ReplyError{Expected: "RFB 3.7 at least", Reply: version}
	}
	types := map[starttls.OfferMode]string{starttls.Hide: "\x01\x01", starttls.Optional: "\x02\x13\x01"}[offer.Mode]
	if _, err := w.Write([]byte(or(types, "\x01\x13"))); err != nil {
		return out, err
	}
	choice, err := w.Peek(1)
	if err != nil {
		return out, err
	}
	if choice[0] == vncNone && types != "" {
		return out, nil
	}
	if choice[0] != vncVeNCrypt || offer.Mode == starttls.Hide {
		if _, err := w.ReadN(1); err != nil {
			return out, err
		}
		return out, vncFail(w, "TLS is required")
	}
	return p.venCrypt(w, offer)
}

// venCrypt speaks version 0.2 of it.
func (vnc) venCrypt(w *starttls.Wire, offer starttls.Offer) (out starttls.Outcome, err error) {
	if _, err := w.ReadN(1); err != nil {
		return out, err
	}
	if _, err := w.Write([]byte{0, 2}); err != nil {
		return out, err
	}
	version, err := w.ReadN(2)
	if err != nil {
		return out, err
	}
	if version[0] != 0 || version[1] != 2 {
		_, err := w.Write([]byte{0xff})
		return out, cmpErr(err, starttls.ErrNotUpgraded)
	}
	subtypes := binary.BigEndian.AppendUint32([]byte{0, 1}, vncX509None)
	if offer.Keyword != "" { // masked: a number that nobody knows
		subtypes = binary.BigEndian.AppendUint32([]byte{0, 1}, 0xffff)
	}
	if _, err := w.Write(subtypes); err != nil {
		return out, err
	}
	choice, err := w.ReadN(4)
	if err != nil {
		return out, err
	}
	if binary.BigEndian.Uint32(choice) != vncX509None || offer.Mode == starttls.Decline {
		_, err := w.Write([]byte(override(offer, "\x00")))
		return out, cmpErr(err, starttls.ErrNotUpgraded)
	}
	out.TLS = true
	return out, w.GoAhead([]byte(override(offer, "\x01")))
}

// vncFail ends a connection with a reason (RFC 6143, section 7.1.3).
func vncFail(w *starttls.Wire, why string) error {
	b := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, uint32(len(why)))
	_, err := w.Write(append(b, why...))
	return cmpErr(err, starttls.ErrNotUpgraded)
}

// Serve shows a screen of two black pixels, one above the other.
func (vnc) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	if !w.Upgraded() {
		if err := vncBegin(w); err != nil {
			return err
		}
	}
	if _, err := w.Write(make([]byte, 4)); err != nil { // the sign-in has succeeded
		return err
	}
	if _, err := w.ReadN(1); err != nil {
		return err
	}
	screen := []byte{0, 1, 0, 2, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0}
	if _, err := w.Write(append(screen, "\x00\x00\x00\x08starttls"...)); err != nil {
		return err
	}
	pixel := 4 // bytes of one
	for {
		kind, err := w.ReadN(1)
		if err != nil {
			return err
		}
		switch kind[0] {
		case 0: // SetPixelFormat
			var format []byte
			if format, err = w.ReadN(19); err == nil {
				pixel = int(format[3] / 8)
			}
		case 2: // SetEncodings: how many, and each
			err = vncSkip(w, 3, 2, 4)
		case 3: // FramebufferUpdateRequest
			err = vncUpdate(w, pixel)
		case 4: // KeyEvent
			_, err = w.ReadN(7)
		case 5: // PointerEvent
			_, err = w.ReadN(5)
		case 6: // ClientCutText: its length, and the text
			err = vncSkip(w, 7, 4, 1)
		default:
			return &starttls.ReplyError{Expected: "a message", Reply: kind}
		}
		if err != nil {
			return err
		}
		if kind[0] == 4 || kind[0] == 6 {
			sink.Tell(starttls.Leak{What: "content"})
		}
	}
}

// vncUpdate answers a FramebufferUpdateRequest (RFC 6143, section 7.5.3) that
// is not for changes alone, of which there are none.
func vncUpdate(w *starttls.Wire, pixel int) error {
	b, err := w.ReadN(9)
	if err != nil || b[0] != 0 {
		return err
	}
	x, y := binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint16(b[3:])
	width, height := min(binary.BigEndian.Uint16(b[5:]), 1), binary.BigEndian.Uint16(b[7:])
	if x > 0 || y > 1 || width*height == 0 {
		return nil
	}
	height = min(height, 2-y)
	update := append([]byte{0, 0, 0, 1}, 0, 0, 0, byte(y), 0, 1, 0, byte(height), 0, 0, 0, 0) // one rectangle, raw
	_, err = w.Write(append(update, make([]byte, int(height)*pixel)...))
	return err
}

// vncBegin agrees on a version and on no sign-in, as far as that was not done.
func vncBegin(w *starttls.Wire) error {
	first, err := w.Peek(1)
	if err != nil {
		return err
	}
	if first[0] == 'R' {
		if _, err := w.ReadN(len(vncVersion)); err != nil {
			return err
		}
		if _, err := w.Write([]byte{1, vncNone}); err != nil {
			return err
		}
	}
	choice, err := w.ReadN(1)
	if err == nil && choice[0] != vncNone {
		err = vncFail(w, "no such security type")
	}
	return err
}

// vncSkip reads over the rest of a message: a head whose last bytes are a count,
// and that many items.
func vncSkip(w *starttls.Wire, head, count, size int) error {
	b, err := w.ReadN(head)
	if err != nil {
		return err
	}
	n := 0
	for _, c := range b[head-count:] {
		n = n<<8 | int(c)
	}
	_, err = w.ReadN(n * size)
	return err
}
