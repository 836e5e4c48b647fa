package tlsprobe

import (
	"net/netip"
	"slices"
	"strings"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Hello is a ClientHello and how it is sent.
type Hello struct {
	tlswire.ClientHello

	// Shares are the pairs of which the key_share extension has the public
	// halves. Without the right one an answer of TLS 1.3 stays unread behind the
	// ServerHello.
	Shares []*tlswire.KeyShare

	// SSL2, if not nil, is sent in the place of all else.
	SSL2 *tlswire.SSL2Hello

	RecordVersion uint16 // 0: SSL 3.0 for a hello of that version, or TLS 1.0
	RecordSize    int    // bytes of the message in one record; 0: as many as it holds
	Segment       int    // bytes sent before a pause, then the rest; 0: all at once

	psk *ticket13 // what the pre_shared_key extension resumes
}

// with returns a copy in which the extensions stand in the place of those of
// their types, or at the end.
func (h *Hello) with(extensions ...tlswire.Extension) *Hello {
	c := *h
	for _, x := range extensions {
		c.Extensions = c.Extensions.With(x)
	}
	return &c
}

// without returns a copy that lacks the extensions.
func (h *Hello) without(types ...uint16) *Hello {
	c := *h
	for _, t := range types {
		c.Extensions = c.Extensions.Without(t)
	}
	return &c
}

// share makes key pairs and offers them; of no groups, it offers none and so
// provokes a HelloRetryRequest.
func (h *Hello) share(groups ...uint16) *Hello {
	c := *h
	c.Shares = nil
	for _, g := range groups {
		if k, err := tlswire.NewKeyShare(g); err == nil {
			c.Shares = append(c.Shares, k)
		}
	}
	return c.with(tlswire.KeyShares(c.Shares...))
}

// NewHello returns a hello for one version, SSL 3.0 to TLS 1.3, with the least
// extensions that let any server answer. A name that is an address is left out.
func NewHello(version uint16, name string, suites []uint16) *Hello {
	h := &Hello{ClientHello: tlswire.ClientHello{Version: min(version, tlswire.TLS12), Random: tlswire.Random(), Suites: slices.Clone(suites)}}
	if version == tlswire.SSL3 { // its servers need not bear extensions (RFC 5746, section 3.3)
		h.Suites = append(h.Suites, tlswire.RenegotiationSCSV)
		return h
	}
	if name = sni(name); name != "" {
		h.Extensions = append(h.Extensions, tlswire.ServerName(name))
	}
	h.Extensions = append(h.Extensions, tlswire.Groups(tlswire.AllGroups()), tlswire.PointFormats(),
		tlswire.RenegotiationInfo(nil), tlswire.Empty(tlswire.ExtExtendedMaster))
	if version >= tlswire.TLS12 {
		h.Extensions = append(h.Extensions, tlswire.Schemes(tlswire.AllSchemes()))
	}
	if version >= tlswire.TLS13 {
		id := tlswire.Random()
		h.SessionID = id[:] // as middleboxes like it (RFC 8446, appendix D.4)
		h.Extensions = append(h.Extensions, tlswire.SupportedVersions(version), tlswire.PSKModes())
		return h.share(tlswire.X25519, tlswire.P256)
	}
	return h
}

func (s *Server) hello(version uint16, suites []uint16) *Hello {
	return NewHello(version, s.Name, suites)
}

// full is a hello that asks for all that one answer can tell.
func (s *Server) full(version uint16, suites []uint16) *Hello {
	h := s.hello(version, suites)
	if version == tlswire.SSL3 {
		h.Compression = []byte{tlswire.Deflate, tlswire.NoCompression}
		return h
	}
	h = h.with(tlswire.StatusRequest(), tlswire.Empty(tlswire.ExtSCT))
	if len(s.ALPN) > 0 {
		h = h.with(tlswire.Protocols(s.ALPN...))
	}
	if version < tlswire.TLS13 {
		h.Compression = []byte{tlswire.Deflate, tlswire.NoCompression}
		h = h.with(tlswire.Ticket(nil), tlswire.Heartbeat(), tlswire.Empty(tlswire.ExtEncryptThenMAC))
	}
	return h
}

// sni is how a name is asked for: never an address (RFC 6066, section 3), never
// with the final dot.
func sni(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	return strings.TrimSuffix(name, ".")
}

// pick keeps the suites that f likes.
func pick(suites []uint16, f func(tlswire.Suite) bool) []uint16 {
	return slices.DeleteFunc(slices.Clone(suites), func(id uint16) bool { return !f(tlswire.SuiteByID(id)) })
}
