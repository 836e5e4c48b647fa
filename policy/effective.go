package policy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"example.org/starttls/policy/dane"
	"example.org/starttls/policy/mtasts"
	"example.org/starttls/policy/tlsrpt"
)

// Host is a mail server of a domain, and what the domain's policies say of it.
type Host struct {
	Name     string
	Domain   string         // whose mail it takes
	MXSecure bool           // DNSSEC proved that it does
	DANE     *dane.Policy   // nil: was not looked up
	STS      *mtasts.Policy // nil: there is none
}

// Decision is what a connection to a host must be.
type Decision struct {
	Level  Level
	Defer  bool              // there must be no connection for now; Level means nothing
	Reason string            // for people
	Result tlsrpt.ResultType // what a report says, if Defer

	host  Host
	local Level
	dane  *dane.Policy   // what else Verify asks, beside local
	sts   *mtasts.Policy // likewise
}

// Effective combines the sender's own level, the least that it takes, with the
// policies of the domain:
//
//   - None switches TLS off, whatever the policies say;
//   - DANE comes first, and nothing makes up for its failing (RFC 8461, section
//     2);
//   - where DANE does not prove the server, because there are no usable records
//     or because the MX record is not signed, MTA-STS in mode enforce must;
//   - Verify and Secure hold besides, since the sender asks for them.
func Effective(local Level, h Host) Decision {
	d := Decision{Level: local, Reason: "the sender's own level", host: h, local: local}
	if local == None {
		d.Reason = "TLS is switched off"
		return d
	}
	if local == DANE {
		d.Level = May // unless there are records
	}
	if h.DANE != nil {
		switch h.DANE.Demand {
		case dane.Unreachable:
			return d.deferred(h.DANE.Reason, tlsrpt.DNSSECInvalid)
		case dane.Encrypt:
			d.raise(Encrypt, h.DANE.Reason)
		case dane.Authenticate:
			d.dane = h.DANE
			d.raise(DANE, h.DANE.Reason)
		}
	}
	if local == DANEOnly && (d.dane == nil || !h.MXSecure) {
		return d.deferred("the sender insists on DANE, but "+h.noDANE(), tlsrpt.DANERequired)
	}
	if d.dane != nil && !h.MXSecure {
		d.Reason += ", but the MX record of " + h.Domain + " is not signed: someone else may have named this host"
	}
	return d.withSTS()
}

// noDANE says why DANE does not prove the host.
func (h Host) noDANE() string {
	switch {
	case h.DANE == nil:
		return "no TLSA records were looked up"
	case h.DANE.Demand == dane.Authenticate:
		return "the MX record of " + h.Domain + " is not signed"
	}
	return h.DANE.Reason
}

func (d Decision) withSTS() Decision {
	h := d.host
	if h.STS == nil || h.STS.Mode == mtasts.None || d.dane != nil && h.MXSecure {
		return d
	}
	listed := h.STS.Match(h.Name)
	switch {
	case h.STS.Mode == mtasts.Testing:
		d.Reason += "; the MTA-STS policy of " + h.Domain + " is only being tested"
	case !listed:
		return d.deferred("the MTA-STS policy of "+h.Domain+" does not name this host", tlsrpt.ValidationFailure)
	default:
		d.sts = h.STS
		d.raise(Secure, "the MTA-STS policy of "+h.Domain)
	}
	return d
}

func (d *Decision) raise(l Level, why string) {
	if l > d.Level {
		d.Level, d.Reason = l, why
	}
}

func (d Decision) deferred(why string, result tlsrpt.ResultType) Decision {
	return Decision{Level: d.Level, Defer: true, Reason: why, Result: result, host: d.host}
}

// ServerName is the name to send as SNI: the TLSA base domain under DANE (RFC
// 7672, section 8.1), else the MX host (RFC 8461, section 7.1).
func (d Decision) ServerName() string {
	if d.dane != nil {
		return d.dane.Base
	}
	return d.host.Name
}

// Error is a connection that is not what the Decision asks for.
type Error struct {
	Host   string
	Result tlsrpt.ResultType
	Err    error
}

func (e *Error) Error() string { return e.Host + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ResultType is what a report says; see [tlsrpt.TypeOf].
func (e *Error) ResultType() string { return string(e.Result) }

// Verify returns nil if a connection is what the decision asks for. state is
// nil where there is no TLS. It is for connections that crypto/tls has not
// verified; roots are nil for the system's. Every error is an *Error.
func (d Decision) Verify(state *tls.ConnectionState, roots *x509.CertPool) error {
	err := d.verify(state, roots)
	if err == nil {
		return nil
	}
	result := tlsrpt.TypeOf(err)
	if d.Defer {
		result = d.Result
	} else if state == nil {
		result = tlsrpt.StartTLSNotSupported
	}
	return &Error{d.host.Name, result, err}
}

func (d Decision) verify(state *tls.ConnectionState, roots *x509.CertPool) error {
	switch {
	case d.Defer:
		return errors.New(d.Reason)
	case d.Level <= May:
		return nil
	case state == nil:
		return fmt.Errorf("there is no TLS, and the level is %v: %s", d.Level, d.Reason)
	}
	if d.dane != nil {
		if _, err := d.dane.Verify(state.PeerCertificates, roots); err != nil {
			return err
		}
	}
	if d.sts != nil {
		if err := d.sts.Check(d.host.Name, state, roots); err != nil {
			return err
		}
	}
	if d.local == Verify || d.local == Secure {
		return d.verifyPKIX(state.PeerCertificates, roots)
	}
	return nil
}

// verifyPKIX is what the sender's own Verify and Secure ask: under Secure the
// certificate is for the domain or a name below it, as Postfix has it.
func (d Decision) verifyPKIX(chain []*x509.Certificate, roots *x509.CertPool) error {
	if len(chain) == 0 {
		return errors.New("the server sent no certificate")
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return err
	}
	if d.local == Verify {
		return chain[0].VerifyHostname(d.host.Name)
	}
	for _, name := range chain[0].DNSNames {
		if strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(d.host.Domain)) {
			return nil
		}
	}
	return chain[0].VerifyHostname(d.host.Domain)
}
