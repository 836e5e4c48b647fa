package tlswire

import (
	"encoding/binary"
)

// RecordType is the first byte of a record (RFC 8446, section 5.1; RFC 6520,
// section 4).
type RecordType uint8

// Record types.
const (
	ChangeCipherSpecRecord RecordType = 20
	AlertRecord            RecordType = 21
	HandshakeRecord        RecordType = 22
	ApplicationData        RecordType = 23
	HeartbeatRecord        RecordType = 24
)

const (
	recordHeader = 5
	maxPlain     = 1 << 14         // RFC 5246, section 6.2.1
	maxRecord    = maxPlain + 2048 // RFC 5246, section 6.2.3
)

// Record is one record, its protection removed.
type Record struct {
	Type    RecordType
	Version uint16
	Body    []byte
}

// Append appends the record to b, without protection and as it is: a body that
// is longer than a record may be is for the caller to cut.
func (r Record) Append(b []byte) []byte {
	b = append(b, byte(r.Type))
	b = binary.BigEndian.AppendUint16(b, r.Version)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Body)))
	return append(b, r.Body...)
}

// Cut makes records of body with at most size bytes in each; 0 is as many as a
// record holds.
func Cut(t RecordType, version uint16, body []byte, size int) []Record {
	if size <= 0 || size > maxPlain {
		size = maxPlain
	}
	var out []Record
	for len(body) > size {
		out = append(out, Record{t, version, body[:size]})
		body = body[size:]
	}
	return append(out, Record{t, version, body})
}

// parseRecord takes one record from the front of b. more says that b may be the
// beginning of one; neither, that it is none.
func parseRecord(b []byte) (r Record, rest []byte, ok, more bool) {
	if len(b) > 0 && (b[0] < byte(ChangeCipherSpecRecord) || b[0] > byte(HeartbeatRecord)) || len(b) > 1 && b[1] != 3 {
		return r, b, false, false
	}
	if len(b) < recordHeader {
		return r, b, false, true
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if n > maxRecord {
		return r, b, false, false
	}
	if len(b) < recordHeader+n {
		return r, b, false, true
	}
	r = Record{RecordType(b[0]), binary.BigEndian.Uint16(b[1:]), b[recordHeader : recordHeader+n]}
	return r, b[recordHeader+n:], true, false
}
