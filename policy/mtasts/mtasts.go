// Package mtasts is the sender's side of SMTP MTA Strict Transport Security
// (RFC 8461): [Client.Get] finds the policy of a domain, from the cache or
// anew, and [Policy.Check] says whether a connection to one of its servers
// satisfies it.
//
// It asks nothing of the DNS but TXT records, which may be insecure: an attacker
// who suppresses them hides a policy that was never seen, and no other.
package mtasts

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// The result types of an [Error] (RFC 8460, section 4.3).
const (
	fetchError   = "sts-policy-fetch-error"
	invalid      = "sts-policy-invalid"
	webPKI       = "sts-webpki-invalid"
	noTLS        = "starttls-not-supported"
	otherFailure = "validation-failure"
)

// Error is a policy that could not be had, or a server that does not satisfy
// one.
type Error struct {
	Domain string // of the policy, or the server's name
	Err    error
	result string
}

func (e *Error) Error() string { return e.Domain + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ResultType is what a TLS report calls the failure (RFC 8460, section 4.3).
func (e *Error) ResultType() string { return e.result }

// Check says whether a connection to an MX host of the domain satisfies the
// policy (RFC 8461, section 4): the policy names the host, and TLS was begun
// with a valid certificate for that name. The mode says what to do if not.
// tlsState is nil where there is no TLS; roots are nil for the system's.
//
// The error is an *Error or, wrapped, one of package x509.
func (p *Policy) Check(mx string, tlsState *tls.ConnectionState, roots *x509.CertPool) error {
	switch {
	case p.Mode == None:
		return nil
	case !p.Match(mx):
		return &Error{mx, errors.New("it is not one of the servers that the MTA-STS policy names"), otherFailure}
	case tlsState == nil || len(tlsState.PeerCertificates) == 0:
		return &Error{mx, errors.New("there is no TLS, which the MTA-STS policy asks for"), noTLS}
	}
	chain := tlsState.PeerCertificates
	opts := x509.VerifyOptions{DNSName: mx, Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return fmt.Errorf("%s: the certificate does not satisfy the MTA-STS policy: %w", mx, err)
	}
	return nil
}
