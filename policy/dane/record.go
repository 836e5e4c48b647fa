package dane

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
)

// Usage says how a TLSA record is to be used (RFC 6698, section 2.1.1; the
// names are RFC 7218's).
type Usage uint8

const (
	PKIXTA Usage = iota // an issuer, in a chain that verifies to a trusted root
	PKIXEE              // the server's certificate, which must verify to a trusted root
	DANETA              // an issuer, trusted by that; the certificate must bear the server's name
	DANEEE              // the server's certificate, whatever it says
)

func (u Usage) String() string {
	if u > DANEEE {
		return fmt.Sprintf("usage %d", uint8(u))
	}
	return [...]string{"PKIX-TA", "PKIX-EE", "DANE-TA", "DANE-EE"}[u]
}

// Selector says what of a certificate a record is about (RFC 6698, section
// 2.1.2).
type Selector uint8

const (
	Cert Selector = iota // all of it
	SPKI                 // its public key
)

// Matching says how (RFC 6698, section 2.1.3).
type Matching uint8

const (
	Full   Matching = iota // Data is the thing itself, in DER
	SHA256                 // its digest
	SHA512                 // its digest
)

// Record is a TLSA record.
type Record struct {
	Usage    Usage
	Selector Selector
	Matching Matching
	Data     []byte
}

// ParseRecord reads a record's wire form, whatever its fields say: see
// [Record.Usable].
func ParseRecord(rdata []byte) (Record, error) {
	if len(rdata) < 3 {
		return Record{}, fmt.Errorf("a TLSA record of %d bytes", len(rdata))
	}
	return Record{Usage(rdata[0]), Selector(rdata[1]), Matching(rdata[2]), rdata[3:]}, nil
}

// NewRecord makes a record for a certificate: the server's own with usages 1
// and 3, an issuer's with 0 and 2. What RFC 7672, section 3.1, recommends is
// NewRecord(DANEEE, SPKI, SHA256, leaf): it stays the same when the certificate
// is renewed with the same key.
func NewRecord(u Usage, s Selector, m Matching, cert *x509.Certificate) Record {
	return Record{u, s, m, digest(s, m, cert)}
}

// String is the record in a zone file's form, without its owner.
func (r Record) String() string {
	return fmt.Sprintf("%d %d %d %s", uint8(r.Usage), uint8(r.Selector), uint8(r.Matching), hex.EncodeToString(r.Data))
}

// Usable returns nil, or why the record cannot be used (RFC 6698, section 4.1).
// pkix says that usages 0 and 1 are meaningful; they are not between mail
// servers (RFC 7672, section 3.1.3).
func (r Record) Usable(pkix bool) error {
	switch {
	case r.Usage > DANEEE:
		return fmt.Errorf("usage %d is not known", r.Usage)
	case r.Usage < DANETA && !pkix:
		return fmt.Errorf("%v does not apply between mail servers", r.Usage)
	case r.Selector > SPKI:
		return fmt.Errorf("selector %d is not known", r.Selector)
	case r.Matching > SHA512:
		return fmt.Errorf("matching type %d is not known", r.Matching)
	case r.Matching == SHA256 && len(r.Data) != sha256.Size, r.Matching == SHA512 && len(r.Data) != sha512.Size:
		return fmt.Errorf("a digest of %d bytes does not fit matching type %d", len(r.Data), r.Matching)
	}
	var err error
	if r.Matching == Full && r.Selector == Cert {
		_, err = x509.ParseCertificate(r.Data)
	} else if r.Matching == Full {
		_, err = x509.ParsePKIXPublicKey(r.Data)
	}
	if err != nil {
		return errors.New("it holds neither a certificate nor a key that can be read")
	}
	return nil
}

// Matches reports whether the record is of this certificate. It says nothing of
// what the usage demands besides.
func (r Record) Matches(cert *x509.Certificate) bool {
	return r.Selector <= SPKI && r.Matching <= SHA512 && string(digest(r.Selector, r.Matching, cert)) == string(r.Data)
}

func digest(s Selector, m Matching, cert *x509.Certificate) []byte {
	b := cert.Raw
	if s == SPKI {
		b = cert.RawSubjectPublicKeyInfo
	}
	switch m {
	case SHA256:
		d := sha256.Sum256(b)
		return d[:]
	case SHA512:
		d := sha512.Sum512(b)
		return d[:]
	}
	return b
}
