package tlsprobe

import (
	"context"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Tolerance is how the server takes hellos that are right but unusual, each
// with the newest version it has. A nil answer was not asked for, since a
// harder one was borne.
type Tolerance struct {
	All     *Answer // GREASE, large, and in two segments
	Grease  *Answer // with values that mean nothing (RFC 8701)
	Large   *Answer // of more than 2 KiB, in one segment, as with post-quantum shares
	Segment *Answer // of the usual size, in two segments
	Records *Answer // in records of 64 bytes (RFC 8446, section 5.1)
}

// Stalls reports whether what the server does not bear is a hello in two
// segments: it reads once and waits for ever.
func (t *Tolerance) Stalls() bool {
	return t.Segment != nil && t.Segment.Outcome != Accepted && t.Segment.Outcome != Refused
}

// Tolerance asks. The server was seen to bear a usual hello already.
func (s *Server) Tolerance(ctx context.Context) (*Tolerance, error) {
	v, hello, err := s.baseline(ctx)
	if err != nil || v == nil {
		return nil, err
	}
	t := &Tolerance{}
	ask := func(to **Answer, h *Hello) {
		if err == nil {
			*to, err = s.ask(ctx, h)
		}
	}
	ask(&t.All, inTwo(grease(v.Version, large(v.Version, hello()))))
	if err == nil && t.All.Outcome != Accepted {
		ask(&t.Grease, grease(v.Version, hello()))
		ask(&t.Large, large(v.Version, hello()))
		ask(&t.Segment, inTwo(hello()))
	}
	inRecords := hello()
	inRecords.RecordSize = 64
	ask(&t.Records, inRecords)
	return t, err
}

// grease adds values that a server must pass over, in every list that may have
// them (RFC 8701, section 3.1).
func grease(version uint16, h *Hello) *Hello {
	const a, b uint16 = 0x1a1a, 0xbaba
	h.Suites = append([]uint16{a}, h.Suites...)
	h = h.with(tlswire.Groups(append([]uint16{a}, tlswire.AllGroups()...)))
	if version >= tlswire.TLS12 {
		h = h.with(tlswire.Schemes(append([]uint16{a}, tlswire.AllSchemes()...)))
	}
	if version >= tlswire.TLS13 {
		shares := append([]*tlswire.KeyShare{{Group: a, Public: []byte{0}}}, h.Shares...)
		h = h.with(tlswire.SupportedVersions(a, version), tlswire.KeyShares(shares...))
	}
	h.Extensions = append(tlswire.Extensions{tlswire.Empty(a)}, h.Extensions...)
	return h.with(tlswire.Extension{Type: b, Data: []byte{0}})
}

// largeHello is more than any path carries in one segment.
const largeHello = 2200

// large makes h large: by a share of X25519MLKEM768, as browsers and new
// libraries send, and by padding (RFC 7685).
func large(version uint16, h *Hello) *Hello {
	if version >= tlswire.TLS13 {
		if k, err := tlswire.NewKeyShare(tlswire.X25519MLKEM768); err == nil {
			h.Shares = append([]*tlswire.KeyShare{k}, h.Shares...)
			h = h.with(tlswire.KeyShares(h.Shares...))
		}
	}
	if m, err := h.Marshal(); err == nil && len(m) < largeHello {
		h = h.with(tlswire.Padding(largeHello - len(m)))
	}
	return h
}

// inTwo cuts h in the middle.
func inTwo(h *Hello) *Hello {
	if m, err := h.Marshal(); err == nil {
		h.Segment = len(m) / 2
	}
	return h
}
