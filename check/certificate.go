package check

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// certificate describes the chain and verifies it for name. Each reason not to
// trust it is a finding of its own.
func (r *run) certificate(chain []*x509.Certificate, name string) {
	for _, c := range chain {
		r.Certificate.Chain = append(r.Certificate.Chain, describe(c))
	}
	if len(chain) == 0 {
		return
	}
	leaf, now := chain[0], r.options.Now()
	given := slices.ContainsFunc(r.options.Given, leaf.Equal)
	var reasons []string
	fault := func(id, words string) {
		r.add(id, words)
		reasons = append(reasons, words)
	}
	if now.After(leaf.NotAfter) {
		fault("cert-expired", fmt.Sprintf("it expired on %s, %s ago", day(leaf.NotAfter), days(now.Sub(leaf.NotAfter))))
	} else if now.Before(leaf.NotBefore) {
		fault("cert-not-yet-valid", "it is not valid before "+leaf.NotBefore.UTC().Format(time.RFC3339))
	} else if left := leaf.NotAfter.Sub(now); left < r.options.Soon {
		r.add("cert-expires-soon", fmt.Sprintf("it expires on %s, in %s", day(leaf.NotAfter), days(left)))
	}
	if !isFor(leaf, r.target.Protocol, name) {
		fault("cert-name", fmt.Sprintf("it is for %s, not for %s", nameList(leaf), name))
	}
	if !given {
		if err := r.trust(chain, now); err != nil {
			id, words := "cert-untrusted", "no chain to a trusted root: "+err.Error()
			if selfSigned(leaf) {
				id, words = "cert-self-signed", "it is self-signed"
			}
			fault(id, words)
		}
	}
	if forServers := r.usage(leaf, given); !forServers && !given {
		reasons = append(reasons, "its usage is not that of a server")
	}
	r.strength(chain)
	r.chainOrder(chain)
	r.Certificate.Verified = len(reasons) == 0
	r.Certificate.Error = strings.Join(reasons, "; ")
}

// trust verifies the chain alone, for any name and usage: these, and the leaf's
// own time, are judged by themselves.
func (r *run) trust(chain []*x509.Certificate, now time.Time) error {
	opts := x509.VerifyOptions{Roots: r.options.Roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	leaf := chain[0]
	if now.After(leaf.NotAfter) {
		opts.CurrentTime = leaf.NotAfter.Add(-time.Second)
	} else if now.Before(leaf.NotBefore) {
		opts.CurrentTime = leaf.NotBefore.Add(time.Second)
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(opts)
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the issuer %q is not known", leaf.Issuer.String())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && !opts.CurrentTime.Equal(now):
		return nil // the issuer is younger or older than the leaf's time; the leaf's fault is told of
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Errorf("the certificate of the issuer %q is valid from %s to %s only", invalid.Cert.Subject.String(), day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter))
	}
	return err
}

// usage judges what the certificate is made for, and reports whether that is a
// server. In one that was given as trusted, these are matters of taste.
func (r *run) usage(leaf *x509.Certificate, given bool) (forServers bool) {
	add := func(id string) {
		if given {
			r.addAs(find(id), Info, "", nil)
		} else {
			r.add(id, "")
		}
	}
	if leaf.IsCA {
		add("cert-is-ca")
	}
	if given && selfSigned(leaf) {
		add("cert-self-signed")
	}
	forServers = len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
	if !forServers {
		add("cert-no-server-auth")
	}
	return forServers
}

// selfSigned does not ask, as CheckSignatureFrom does, that c may sign others.
func selfSigned(c *x509.Certificate) bool {
	return slices.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func describe(c *x509.Certificate) Cert {
	sum, spki := sha256.Sum256(c.Raw), sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return Cert{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Names: names(c),
		NotBefore: c.NotBefore.UTC().Format(time.RFC3339), NotAfter: c.NotAfter.UTC().Format(time.RFC3339),
		Key: keyKind(c), SHA256: hex.EncodeToString(sum[:]), SPKISHA256: hex.EncodeToString(spki[:]),
	}
}

func names(c *x509.Certificate) []string {
	out := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

func nameList(c *x509.Certificate) string {
	n := names(c)
	if len(n) == 0 {
		return "no name"
	}
	if len(n) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(n[:3], ", "), len(n)-3)
	}
	return strings.Join(n, ", ")
}

func keyKind(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func days(d time.Duration) string {
	switch n := int(d.Hours() / 24); n {
	case 0:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
