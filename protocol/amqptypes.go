package protocol

import "encoding/binary"

// The few of AMQP 1.0's encodings (part 1, section 1.6) that sign-in needs.

// amqpSize is the length of the value at the start of b, its constructor
// included, or 0 if there is none.
func amqpSize(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	n := 0
	switch kind := b[0] >> 4; kind {
	case 4:
		n = 1
	case 5, 6, 7, 8, 9:
		n = 1 + 1<<(kind-5)
	case 0xa, 0xc, 0xe:
		if len(b) < 2 {
			return 0
		}
		n = 2 + int(b[1])
	case 0xb, 0xd, 0xf:
		if len(b) < 5 {
			return 0
		}
		n = 5 + int(binary.BigEndian.Uint32(b[1:]))
	}
	if n > len(b) {
		return 0
	}
	return n
}

// amqpValue is what is in a value of variable width.
func amqpValue(b []byte) []byte {
	switch {
	case amqpSize(b) == 0:
		return nil
	case b[0]>>4 == 0xa, b[0]>>4 == 0xc, b[0]>>4 == 0xe:
		return b[2:amqpSize(b)]
	case b[0]>>4 == 0xb, b[0]>>4 == 0xd, b[0]>>4 == 0xf:
		return b[5:amqpSize(b)]
	}
	return nil
}

// amqpList takes a list apart into its encoded fields.
func amqpList(b []byte) (fields [][]byte, ok bool) {
	if len(b) == 0 || b[0] != 0x45 && b[0] != 0xc0 && b[0] != 0xd0 {
		return nil, false
	}
	count := 1 // bytes of the number of fields
	if b[0] == 0xd0 {
		count = 4
	}
	v := amqpValue(b)
	if len(v) < count {
		return nil, b[0] == 0x45
	}
	for v = v[count:]; len(v) > 0; {
		n := amqpSize(v)
		if n == 0 {
			return fields, false
		}
		fields, v = append(fields, v[:n]), v[n:]
	}
	return fields, true
}

// amqpSymbols reads a symbol, or an array of them.
func amqpSymbols(b []byte) []string {
	if amqpSize(b) == 0 {
		return nil
	}
	v := amqpValue(b)
	width := 1
	switch b[0] {
	case 0xa3, 0xb3:
		return []string{string(v)}
	case 0xf0:
		width = 4
	case 0xe0:
	default:
		return nil
	}
	if len(v) < width+1 {
		return nil
	}
	kind := v[width]
	var out []string
	for v = v[width+1:]; len(v) > 0; {
		item := append([]byte{kind}, v...)
		n := amqpSize(item)
		if n < 2 {
			break
		}
		out, v = append(out, string(amqpValue(item))), v[n-1:]
	}
	return out
}
