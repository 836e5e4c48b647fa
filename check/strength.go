package check

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Whether the certificates are strong, and served as they should be.

// strength judges keys, signatures and validity of the chain. A root needs no
// signature to be trusted, and what was given by hand is a matter of taste.
func (r *run) strength(chain []*x509.Certificate) {
	var keys, signatures []string
	for i, c := range chain {
		if weak := weakKey(c); weak != "" {
			keys = append(keys, fmt.Sprintf("certificate %d has a key of %s", i, weak))
		}
		if !selfSigned(c) && weakSignature(c.SignatureAlgorithm) {
			signatures = append(signatures, fmt.Sprintf("certificate %d is signed with %s", i, c.SignatureAlgorithm))
		}
	}
	given := slices.ContainsFunc(r.options.Given, chain[0].Equal)
	r.judge("cert-weak-key", given, strings.Join(keys, "; "))
	r.judge("cert-weak-signature", given, strings.Join(signatures, "; "))
	leaf := chain[0]
	if r.options.Full && r.options.Lint != nil {
		r.judge("cert-lint", given || r.options.Roots != nil, strings.Join(r.options.Lint(leaf.Raw), ", "))
	}
	if span := leaf.NotAfter.Sub(leaf.NotBefore); span > 398*24*time.Hour && !selfSigned(leaf) {
		r.judge("cert-long-lived", given || r.options.Roots != nil, "it is valid for "+days(span))
	}
}

// judge adds a finding if there is something to say; of a certificate that the
// user trusts by hand it is no more than info.
func (r *run) judge(id string, given bool, detail string) {
	switch {
	case detail == "":
	case given:
		r.addAs(find(id), Info, detail, nil)
	default:
		r.add(id, detail)
	}
}

// weakKey says what is weak about a key (RFC 9325, section 4.5), or "".
func weakKey(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return keyKind(c)
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 224 {
			return keyKind(c)
		}
	}
	return ""
}

func weakSignature(a x509.SignatureAlgorithm) bool {
	return slices.Contains([]x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1}, a)
}

// chainOrder judges the chain as it is served: each certificate is to be
// followed by its issuer (RFC 8446, section 4.4.2), and the root need not be
// sent at all.
func (r *run) chainOrder(chain []*x509.Certificate) {
	var faults []string
	for i := 0; i+1 < len(chain); i++ {
		if !bytes.Equal(chain[i].RawIssuer, chain[i+1].RawSubject) {
			faults = append(faults, fmt.Sprintf("certificate %d is of %s, which did not issue certificate %d", i+1, chain[i+1].Subject, i))
		}
	}
	if len(faults) > 0 {
		r.add("cert-chain-order", strings.Join(faults, "; "))
	}
}

// signedTimestamps reports whether the certificate's issue was logged: its own
// list of timestamps (RFC 6962, section 3.3).
func signedTimestamps(c *x509.Certificate) bool {
	return hasExtension(c, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2})
}

// mustStaple reports whether the certificate demands a stapled OCSP response
// (RFC 7633).
func mustStaple(c *x509.Certificate) bool {
	return hasExtension(c, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24})
}

func hasExtension(c *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return true
		}
	}
	return false
}
