package tlswire

import "golang.org/x/crypto/cryptobyte"

// ParseCertificates parses a Certificate message up to TLS 1.2 (RFC 5246,
// section 7.4.2).
func ParseCertificates(body []byte) (chain [][]byte, err error) {
	s := cryptobyte.String(body)
	var list cryptobyte.String
	ok := s.ReadUint24LengthPrefixed(&list) && s.Empty()
	for ok && !list.Empty() {
		var der cryptobyte.String
		if ok = list.ReadUint24LengthPrefixed(&der); ok {
			chain = append(chain, der)
		}
	}
	if !ok {
		return nil, malformed("Certificate")
	}
	return chain, nil
}

// MarshalCertificates gives that message; an empty one is a client without a
// certificate.
func MarshalCertificates(chain [][]byte) []byte {
	return message(Certificate, func(b *cryptobyte.Builder) {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, der := range chain {
				u24(b, der)
			}
		})
	})
}

// CertificateEntry is one certificate of TLS 1.3, with its own extensions.
type CertificateEntry struct {
	DER        []byte
	Extensions Extensions
}

// ParseCertificates13 parses a Certificate message of TLS 1.3 (RFC 8446,
// section 4.4.2).
func ParseCertificates13(body []byte) (chain []CertificateEntry, err error) {
	s := cryptobyte.String(body)
	var context, list cryptobyte.String
	ok := s.ReadUint8LengthPrefixed(&context) && s.ReadUint24LengthPrefixed(&list) && s.Empty()
	for ok && !list.Empty() {
		var der cryptobyte.String
		var e Extensions
		if ok = list.ReadUint24LengthPrefixed(&der); ok {
			e, ok = parseExtensions(&list)
			chain = append(chain, CertificateEntry{der, e})
		}
	}
	if !ok {
		return nil, malformed("Certificate")
	}
	return chain, nil
}

// NoCertificate13 is the Certificate message of a client that has none, as the
// answer to a CertificateRequest with that context.
func NoCertificate13(context []byte) []byte {
	return message(Certificate, func(b *cryptobyte.Builder) {
		u8(b, context)
		b.AddUint24(0)
	})
}

// ParseStatus parses a CertificateStatus message, and the status_request
// extension of a certificate of TLS 1.3: the OCSP response in DER (RFC 6066,
// section 8; RFC 8446, section 4.4.2.1).
func ParseStatus(body []byte) ([]byte, error) {
	s := cryptobyte.String(body)
	var kind uint8
	var der cryptobyte.String
	if !s.ReadUint8(&kind) || kind != 1 || !s.ReadUint24LengthPrefixed(&der) || !s.Empty() {
		return nil, malformed("CertificateStatus")
	}
	return der, nil
}

// ParseSCTs parses the list of signed certificate timestamps in an extension
// (RFC 6962, section 3.3).
func ParseSCTs(data []byte) (scts [][]byte, err error) {
	s := cryptobyte.String(data)
	var list cryptobyte.String
	ok := s.ReadUint16LengthPrefixed(&list) && s.Empty()
	for ok && !list.Empty() {
		var sct cryptobyte.String
		if ok = list.ReadUint16LengthPrefixed(&sct); ok {
			scts = append(scts, sct)
		}
	}
	if !ok {
		return nil, malformed("SCT list")
	}
	return scts, nil
}

// CertificateAsk is a CertificateRequest: what a client should present.
type CertificateAsk struct {
	Context []byte   // TLS 1.3
	Types   []byte   // up to TLS 1.2
	Schemes []uint16 // TLS 1.2 and later
	Names   [][]byte // DER names of authorities
}

// ParseCertificateRequest parses that message (RFC 5246, section 7.4.4; RFC
// 8446, section 4.3.2) as version has it.
func ParseCertificateRequest(version uint16, body []byte) (*CertificateAsk, error) {
	s := cryptobyte.String(body)
	a := new(CertificateAsk)
	var names cryptobyte.String
	var ok bool
	if version >= TLS13 {
		var e Extensions
		ok = s.ReadUint8LengthPrefixed((*cryptobyte.String)(&a.Context))
		if ok {
			e, ok = parseExtensions(&s)
		}
		if data, has := e.Get(ExtSchemes); ok && has {
			var err error
			if a.Schemes, err = ParseNumbers(data); err != nil {
				return nil, err
			}
		}
	} else {
		ok = s.ReadUint8LengthPrefixed((*cryptobyte.String)(&a.Types))
		if ok && version == TLS12 {
			var schemes cryptobyte.String
			if ok = s.ReadUint16LengthPrefixed(&schemes); ok {
				a.Schemes, ok = numbers(schemes)
			}
		}
		ok = ok && s.ReadUint16LengthPrefixed(&names)
	}
	for ok && !names.Empty() {
		var name cryptobyte.String
		ok = names.ReadUint16LengthPrefixed(&name)
		a.Names = append(a.Names, name)
	}
	if !ok || !s.Empty() {
		return nil, malformed("CertificateRequest")
	}
	return a, nil
}
