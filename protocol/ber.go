package protocol

import (
	"errors"
	"slices"

	"example.org/starttls"
)

// As much of BER as LDAP's few messages take (ITU-T X.690, with the
// restrictions of RFC 4511 section 5.1: definite lengths only).

var errBER = errors.New("malformed BER")

// berMost is the longest content that is read at all. What a Wire allows is less.
const berMost = 1 << 24

// berElement is one element: its identifier octet and its content.
type berElement struct {
	tag     byte
	content []byte
}

// berHeader reads an identifier and a length from the front of b. ok is false,
// with a nil error, where b ends before they do.
func berHeader(b []byte) (tag byte, header, length int, ok bool, err error) {
	if len(b) < 2 {
		return 0, 0, 0, false, nil
	}
	if b[0]&0x1f == 0x1f { // no LDAP message has a tag above 30
		return 0, 0, 0, false, errBER
	}
	n := int(b[1])
	if n < 0x80 {
		return b[0], 2, n, true, nil
	}
	size := n & 0x7f
	if size == 0 || size > 4 { // indefinite, or longer than anything we read
		return 0, 0, 0, false, errBER
	}
	if len(b) < 2+size {
		return 0, 0, 0, false, nil
	}
	long := uint32(0)
	for _, c := range b[2 : 2+size] { // as many leading zeros as the peer likes: Active Directory always sends four bytes
		long = long<<8 | uint32(c)
	}
	if long > berMost { // also keeps sums of lengths within an int of 32 bits
		return 0, 0, 0, false, errBER
	}
	return b[0], 2 + size, int(long), true, nil
}

// berNext takes the first element off b.
func berNext(b []byte) (e berElement, rest []byte, err error) {
	tag, header, length, ok, err := berHeader(b)
	if err != nil || !ok || length > len(b)-header {
		return e, nil, errBER
	}
	return berElement{tag, b[header : header+length]}, b[header+length:], nil
}

// berAll takes b apart into its elements.
func berAll(b []byte) ([]berElement, error) {
	var out []berElement
	for len(b) > 0 {
		e, rest, err := berNext(b)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		b = rest
	}
	return out, nil
}

// berInside returns the content of the element that is reached from b by the
// tags given, one inside the other.
func berInside(b []byte, tags ...byte) (content []byte, ok bool) {
	for _, tag := range tags {
		parts, err := berAll(b)
		i := slices.IndexFunc(parts, func(e berElement) bool { return e.tag == tag })
		if err != nil || i < 0 {
			return nil, false
		}
		b = parts[i].content
	}
	return b, true
}

// int reads an INTEGER or ENUMERATED of at most four bytes.
func (e berElement) int() (int, error) {
	if len(e.content) == 0 || len(e.content) > 4 {
		return 0, errBER
	}
	n := int(int8(e.content[0]))
	for _, c := range e.content[1:] {
		n = n<<8 | int(c)
	}
	return n, nil
}

// ber builds an element of the contents given, one after the other.
func ber(tag byte, contents ...[]byte) []byte {
	n := 0
	for _, c := range contents {
		n += len(c)
	}
	out := append(make([]byte, 0, 5+n), tag)
	switch {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	case n < 0x10000:
		out = append(out, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	for _, c := range contents {
		out = append(out, c...)
	}
	return out
}

// berInt builds an INTEGER, or an ENUMERATED with tag 0x0a, of a number from 0
// to 2^31-1.
func berInt(tag byte, n int) []byte {
	content := []byte{byte(n)}
	for n >>= 8; n > 0; n >>= 8 {
		content = append([]byte{byte(n)}, content...)
	}
	if content[0]&0x80 != 0 {
		content = append([]byte{0}, content...)
	}
	return ber(tag, content)
}

// peekBER returns the next element's size on the wire without consuming it.
func peekBER(w *starttls.Wire) (int, error) {
	for n := 2; ; n++ {
		b, err := w.Peek(n)
		if err != nil {
			return 0, err
		}
		_, header, length, ok, err := berHeader(b)
		if err != nil {
			return 0, &starttls.ReplyError{Expected: "an LDAP message", Reply: append([]byte(nil), b...)}
		}
		if ok {
			return header + length, nil
		}
	}
}

// readBER reads one element, and not a byte more.
func readBER(w *starttls.Wire) (berElement, []byte, error) {
	n, err := peekBER(w)
	if err != nil {
		return berElement{}, nil, err
	}
	raw, err := w.ReadN(n)
	if err != nil {
		return berElement{}, nil, err
	}
	e, _, err := berNext(raw)
	return e, raw, err
}
