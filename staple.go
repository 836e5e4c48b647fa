package starttls

import (
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"math/big"
	"time"
)

// errRevoked is why a certificate with such a response is refused.
var errRevoked = errors.New("the certificate is revoked, says the response that its server presents with it (OCSP)")

// checkStaple refuses a certificate whose own server presents a response that
// it is revoked: crypto/tls asks for one and leaves it to others to look (RFC
// 6066, section 8). The signature is not verified, because only what speaks
// against the server counts, and the server presents it itself.
func checkStaple(s tls.ConnectionState) error {
	if len(s.OCSPResponse) == 0 || len(s.PeerCertificates) == 0 {
		return nil
	}
	for _, r := range stapled(s.OCSPResponse) {
		const revoked = 1 // the tag of CertStatus's alternative
		if r.Status.Tag == revoked && r.ID.Serial.Cmp(s.PeerCertificates[0].SerialNumber) == 0 {
			return errRevoked
		}
	}
	return nil
}

// singleResponse is what a response says of one certificate (RFC 6960, section
// 4.2.1).
type singleResponse struct {
	ID struct {
		Algorithm         asn1.RawValue
		NameHash, KeyHash []byte
		Serial            *big.Int
	}
	Status     asn1.RawValue
	ThisUpdate time.Time     `asn1:"generalized"`
	NextUpdate time.Time     `asn1:"generalized,explicit,tag:0,optional"`
	Extensions asn1.RawValue `asn1:"optional"`
}

// stapled takes a response apart; one that is none says nothing.
func stapled(der []byte) []singleResponse {
	var outer struct {
		Status asn1.Enumerated
		Bytes  struct {
			Type     asn1.ObjectIdentifier
			Response []byte
		} `asn1:"explicit,tag:0,optional"`
	}
	var basic struct {
		Data struct {
			Raw        asn1.RawContent
			Version    int `asn1:"explicit,tag:0,default:0,optional"`
			Responder  asn1.RawValue
			ProducedAt time.Time `asn1:"generalized"`
			Responses  []singleResponse
			Extensions asn1.RawValue `asn1:"optional"`
		}
		Algorithm asn1.RawValue
		Signature asn1.BitString
		Chain     asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil
	}
	if _, err := asn1.Unmarshal(outer.Bytes.Response, &basic); err != nil {
		return nil
	}
	return basic.Data.Responses
}
