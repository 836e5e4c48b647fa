package protocol

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strings"

	"example.org/starttls"
)

// As much of protobuf as the X protocol's few messages take, and its session.

// pbField is one field: a number, or bytes, which may be a message again.
type pbField struct {
	number int
	n      uint64
	data   []byte
}

// parsePB takes a message apart. ok is false if it is malformed.
func parsePB(b []byte) (fields []pbField, ok bool) {
	for len(b) > 0 {
		key, k := binary.Uvarint(b)
		if k <= 0 || key>>3 == 0 || key>>3 > 1<<29 {
			return nil, false
		}
		b = b[k:]
		f := pbField{number: int(key >> 3)}
		size := uint64(0)
		switch key & 7 {
		case 0:
			if f.n, k = binary.Uvarint(b); k <= 0 {
				return nil, false
			}
			b = b[k:]
		case 1:
			size = 8
		case 5:
			size = 4
		case 2:
			if size, k = binary.Uvarint(b); k <= 0 {
				return nil, false
			}
			b = b[k:]
		default:
			return nil, false
		}
		if size > uint64(len(b)) {
			return nil, false
		}
		f.data, b = b[:size], b[size:]
		fields = append(fields, f)
	}
	return fields, true
}

// pbGet is the last field at the end of a path of numbers, or nothing.
func pbGet(b []byte, path ...int) (f pbField) {
	fields, _ := parsePB(b)
	for i := range slices.Backward(fields) {
		if fields[i].number == path[0] {
			f = fields[i]
			break
		}
	}
	if len(path) > 1 {
		return pbGet(f.data, path[1:]...)
	}
	return f
}

func pbNumber(number int, n uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3), n)
}

func pbBytes(number int, data []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(number)<<3|2)
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

// xAnyBool and xAnyString are values (Mysqlx.Datatypes.Any): a scalar of type
// V_BOOL or V_STRING.
func xAnyBool(v bool) []byte {
	n := uint64(0)
	if v {
		n = 1
	}
	return append(pbNumber(1, 1), pbBytes(2, append(pbNumber(1, 7), pbNumber(8, n)...))...)
}

func xAnyString(s string) []byte {
	return append(pbNumber(1, 1), pbBytes(2, append(pbNumber(1, 8), pbBytes(9, pbBytes(1, []byte(s)))...))...)
}

func xBool(value []byte) bool { return pbGet(value, 2, 8).n != 0 }

// xStrings are the strings of an array.
func xStrings(value []byte) (out []string) {
	fields, _ := parsePB(pbGet(value, 4).data)
	for _, f := range fields {
		out = append(out, string(pbGet(f.data, 2, 9, 1).data))
	}
	return out
}

// xCapability is one capability as it stands in a list of them.
func xCapability(name string, value []byte) []byte {
	return pbBytes(1, append(pbBytes(1, []byte(name)), pbBytes(2, value)...))
}

// xSignIn is the capability that lists how to sign in.
func xSignIn(h starttls.Hello) []byte {
	mechanisms := h.Auth
	if mechanisms == nil {
		mechanisms = []string{"PLAIN", "MYSQL41"}
	}
	var list []byte
	for _, m := range mechanisms {
		list = append(list, pbBytes(1, xAnyString(m))...)
	}
	return xCapability(xMechanisms, append(pbNumber(1, 3), pbBytes(4, list)...))
}

func xFailure(code uint64, text string) []byte {
	return xMessage(xError, slices.Concat(pbNumber(1, 0), pbNumber(2, code), pbBytes(4, []byte("HY000")), pbBytes(3, []byte(text))))
}

// xSettable are the capabilities that a client may set inside TLS; they mean
// nothing here.
var xSettable = []string{"session_connect_attrs", "client.interactive", "client.pwd_expire_ok"}

// Serve takes any sign-in and answers every SELECT with one row of one column
// that holds 1.
func (mysqlx) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	mechanism := ""
	for {
		kind, body, err := readX(w)
		if err != nil {
			return err
		}
		reply := xMessage(xOK, nil)
		switch kind {
		case xClose:
			_, err := w.Write(reply)
			return err
		case xReset, xLeave:
		case xCapGet:
			caps := xSignIn(h)
			if w.TLS() {
				caps = append(caps, xCapability(xTLS, xAnyBool(true))...)
			}
			reply = xMessage(xCaps, caps)
		case xCapSet:
			reply = xSet(body)
		case xAuth, xAuthMore:
			if kind == xAuth {
				mechanism = string(pbGet(body, 1).data)
			}
			reply = xTakeSignIn(kind, mechanism, body, sink)
		case xExecute:
			sink.Tell(starttls.Leak{What: "content"})
			reply = xMessage(xExecuted, nil)
			if words := strings.Fields(string(pbGet(body, 1).data)); len(words) > 0 && strings.EqualFold(words[0], "select") {
				one := pbBytes(1, []byte{2}) // zigzag
				reply = slices.Concat(xMessage(xColumn, append(pbNumber(1, 1), pbBytes(2, []byte("1"))...)), xMessage(xRow, one), xMessage(xFetched, nil), reply)
			}
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = xFailure(1047, "Unknown message")
		}
		if _, err := w.Write(reply); err != nil {
			return err
		}
	}
}

// xSet answers a CapabilitiesSet inside TLS, which takes all of it or nothing.
func xSet(body []byte) []byte {
	names, _, ok := xCapabilities(pbGet(body, 1).data)
	if !ok || slices.Contains(names, xTLS) {
		return xFailure(xErrPrepare, "Capability prepare failed for 'tls'")
	}
	for _, name := range names {
		if !slices.Contains(xSettable, name) {
			return xFailure(xErrNotFound, "Capability '"+name+"' doesn't exist")
		}
	}
	return xMessage(xOK, nil)
}

// xTakeSignIn takes PLAIN at once, and of any other mechanism the answer to a
// challenge. Both hold a schema, a user and a secret, with NULs between.
func xTakeSignIn(kind byte, mechanism string, body []byte, sink starttls.Sink) []byte {
	field := 2 // of AuthenticateStart
	if kind == xAuthMore {
		field = 1
	} else if mechanism != "PLAIN" {
		nonce := make([]byte, 20)
		rand.Read(nonce)
		return xMessage(xAuthAsk, pbBytes(1, nonce))
	}
	parts := bytes.SplitN(pbGet(body, field).data, []byte{0}, 3)
	if len(parts) != 3 {
		return xFailure(1045, "Invalid user or password")
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: mechanism, User: string(parts[1]), Secret: bytes.Clone(parts[2])})
	return xMessage(xAuthOK, nil)
}
