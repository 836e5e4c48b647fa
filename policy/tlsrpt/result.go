package tlsrpt

import (
	"crypto/x509"
	"errors"
	"time"
)

// PolicyType is the kind of policy that a result is about.
type PolicyType string

// The kinds of policy (RFC 8460, section 4.4).
const (
	TLSA     PolicyType = "tlsa"
	STS      PolicyType = "sts"
	NoPolicy PolicyType = "no-policy-found"
)

// ResultType is what failed.
type ResultType string

// What can fail (RFC 8460, section 4.3).
const (
	StartTLSNotSupported ResultType = "starttls-not-supported"
	HostMismatch         ResultType = "certificate-host-mismatch"
	Expired              ResultType = "certificate-expired"
	NotTrusted           ResultType = "certificate-not-trusted"
	ValidationFailure    ResultType = "validation-failure" // none of the others

	TLSAInvalid   ResultType = "tlsa-invalid"   // none of the records is usable
	DNSSECInvalid ResultType = "dnssec-invalid" // the records could not be had, or are bogus
	DANERequired  ResultType = "dane-required"  // there are no records, and the sender insists

	STSFetchError    ResultType = "sts-policy-fetch-error"
	STSInvalid       ResultType = "sts-policy-invalid"
	STSWebPKIInvalid ResultType = "sts-webpki-invalid" // the policy's host has no valid certificate
)

// Types are all of them.
var Types = []ResultType{
	StartTLSNotSupported, HostMismatch, Expired, NotTrusted, ValidationFailure,
	TLSAInvalid, DNSSECInvalid, DANERequired, STSFetchError, STSInvalid, STSWebPKIInvalid,
}

// TypeOf is the result type of an error: what the error says of itself by a
// method ResultType() string, or what follows from package x509's errors. It is
// empty for nil.
func TypeOf(err error) ResultType {
	if err == nil {
		return ""
	}
	var typed interface{ ResultType() string }
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &typed):
		return ResultType(typed.ResultType())
	case errors.As(err, &host):
		return HostMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().After(invalid.Cert.NotAfter):
		return Expired
	case errors.As(err, &invalid), errors.As(err, &unknown):
		return NotTrusted
	}
	return ValidationFailure
}
