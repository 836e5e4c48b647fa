package policy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.org/starttls/internal/testca"
	"example.org/starttls/policy/dane"
	"example.org/starttls/policy/mtasts"
	"example.org/starttls/policy/tlsrpt"
)

const (
	domain = "example.test"
	mx     = "mx.example.test"
)

func TestParseLevel(t *testing.T) {
	for l := None; l <= Secure; l++ {
		if got, err := ParseLevel(l.String()); got != l || err != nil {
			t.Errorf("%v: %v, %v", l, got, err)
		}
	}
	for _, word := range []string{"", "May", "fingerprint"} {
		if l, err := ParseLevel(word); err == nil {
			t.Errorf("%q: %v", word, l)
		}
	}
}

func found(d dane.Demand) *dane.Policy {
	return &dane.Policy{Demand: d, Base: "base.example.test", Reason: "[" + d.String() + "]", Err: errors.New("no answer")}
}

func sts(m mtasts.Mode, patterns ...string) *mtasts.Policy {
	return &mtasts.Policy{Mode: m, MX: patterns}
}

func TestEffective(t *testing.T) {
	enforce, unlisted := sts(mtasts.Enforce, "*.example.test"), sts(mtasts.Enforce, "other.example.test")
	for _, c := range []struct {
		local Level
		dane  *dane.Policy
		sts   *mtasts.Policy
		mxIs  string // "signed" or not
		want  string // the level, or "defer" and the result type; what the reason contains
	}{
		{May, nil, nil, "signed", "may: own level"},
		{Encrypt, nil, nil, "signed", "encrypt: own level"},
		{Secure, nil, nil, "", "secure: own level"},
		{None, found(dane.Authenticate), enforce, "signed", "none: switched off"},
		{None, found(dane.Unreachable), unlisted, "signed", "none: switched off"},

		{May, found(dane.None), nil, "signed", "may: own level"},
		{May, found(dane.Encrypt), nil, "signed", "encrypt: [encrypt]"},
		{May, found(dane.Authenticate), nil, "signed", "dane: [dane]"},
		{May, found(dane.Unreachable), nil, "signed", "defer dnssec-invalid: [tempfail]"},
		{Secure, found(dane.Unreachable), nil, "signed", "defer dnssec-invalid: [tempfail]"},
		{Encrypt, found(dane.Authenticate), nil, "signed", "dane: [dane]"},
		{Verify, found(dane.Authenticate), nil, "signed", "verify: own level"},
		{May, found(dane.Authenticate), nil, "", "dane: is not signed"},

		{DANE, nil, nil, "signed", "may: own level"},
		{DANE, found(dane.None), nil, "signed", "may: own level"},
		{DANE, found(dane.Encrypt), nil, "signed", "encrypt: [encrypt]"},
		{DANE, found(dane.Authenticate), nil, "signed", "dane: [dane]"},
		{DANEOnly, found(dane.Authenticate), nil, "signed", "dane-only: own level"},
		{DANEOnly, found(dane.Authenticate), nil, "", "defer dane-required: MX record of example.test is not signed"},
		{DANEOnly, found(dane.Encrypt), enforce, "signed", "defer dane-required: [encrypt]"},
		{DANEOnly, found(dane.None), enforce, "signed", "defer dane-required: [none]"},
		{DANEOnly, nil, enforce, "signed", "defer dane-required: no TLSA records were looked up"},

		{May, nil, enforce, "", "secure: MTA-STS policy of example.test"},
		{May, found(dane.None), enforce, "signed", "secure: MTA-STS"},
		{May, found(dane.Encrypt), enforce, "signed", "secure: MTA-STS"},
		{May, found(dane.None), unlisted, "signed", "defer validation-failure: does not name this host"},
		{May, nil, sts(mtasts.Testing, "other.example.test"), "", "may: only being tested"},
		{May, nil, sts(mtasts.None), "", "may: own level"},
		{Verify, nil, enforce, "", "secure: MTA-STS"},

		// MTA-STS never overrides DANE, and is not needed where DANE proves the server.
		{May, found(dane.Unreachable), enforce, "signed", "defer dnssec-invalid: [tempfail]"},
		{May, found(dane.Authenticate), enforce, "signed", "dane: [dane]"},
		{May, found(dane.Authenticate), unlisted, "signed", "dane: [dane]"},
		{May, found(dane.Authenticate), enforce, "", "secure: MTA-STS"},
		{May, found(dane.Authenticate), unlisted, "", "defer validation-failure: does not name this host"},
	} {
		d := Effective(c.local, Host{Name: mx, Domain: domain, MXSecure: c.mxIs == "signed", DANE: c.dane, STS: c.sts})
		got := d.Level.String()
		if d.Defer {
			got = "defer " + string(d.Result)
		}
		head, reason, _ := strings.Cut(c.want, ": ")
		if got != head || !strings.Contains(d.Reason, reason) || d.Defer != (d.Result != "") {
			t.Errorf("%v, %+v, %+v, %s: %s: %s\nwant %s", c.local, c.dane, c.sts, c.mxIs, got, d.Reason, c.want)
		}
		name := mx
		if d.dane != nil {
			name = "base.example.test"
		}
		if got := d.ServerName(); got != name {
			t.Errorf("server name %s, want %s", got, name)
		}
	}
}

func TestVerify(t *testing.T) {
	ca, err := testca.New("test root")
	check(t, err)
	other, err := testca.New("test root")
	check(t, err)
	connection := func(ca *testca.CA, edit func(*x509.Certificate), names ...string) *tls.ConnectionState {
		cert, err := ca.Issue(edit, names...)
		check(t, err)
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf, ca.Certificate}}
	}
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	good := connection(ca, nil, mx)
	unknown := connection(other, nil, mx)
	tlsa := func(s *tls.ConnectionState) *dane.Policy {
		r := dane.NewRecord(dane.DANEEE, dane.SPKI, dane.SHA256, s.PeerCertificates[0])
		return &dane.Policy{Demand: dane.Authenticate, Base: mx, Names: []string{mx}, Records: []dane.Record{r}, Reason: "TLSA"}
	}
	enforce := sts(mtasts.Enforce, mx)
	for _, c := range []struct {
		name     string
		local    Level
		dane     *dane.Policy
		sts      *mtasts.Policy
		unsigned bool // the MX record
		state    *tls.ConnectionState
		want     tlsrpt.ResultType
	}{
		{"cleartext, may", May, nil, nil, false, nil, ""},
		{"cleartext, none", None, nil, enforce, false, nil, ""},
		{"cleartext, encrypt", Encrypt, nil, nil, false, nil, tlsrpt.StartTLSNotSupported},
		{"cleartext, unusable records", May, found(dane.Encrypt), nil, false, nil, tlsrpt.StartTLSNotSupported},
		{"cleartext, DANE", May, tlsa(good), nil, false, nil, tlsrpt.StartTLSNotSupported},
		{"cleartext, MTA-STS", May, nil, enforce, false, nil, tlsrpt.StartTLSNotSupported},
		{"any certificate, may", May, nil, nil, false, unknown, ""},
		{"any certificate, encrypt", Encrypt, nil, nil, false, unknown, ""},
		{"DANE", May, tlsa(unknown), nil, false, unknown, ""},
		{"DANE, other key", May, tlsa(good), nil, false, unknown, tlsrpt.ValidationFailure},
		{"DANE, other key, but MTA-STS", May, tlsa(unknown), enforce, false, good, tlsrpt.ValidationFailure},
		{"DANE of unsigned MX", May, tlsa(good), nil, true, unknown, tlsrpt.ValidationFailure},
		{"DANE of unsigned MX and MTA-STS", May, tlsa(unknown), enforce, true, unknown, tlsrpt.NotTrusted},
		{"both hold", May, tlsa(good), enforce, true, good, ""},
		{"deferred", May, found(dane.Unreachable), enforce, false, good, tlsrpt.DNSSECInvalid},
		{"MTA-STS", May, nil, enforce, false, good, ""},
		{"MTA-STS, unknown root", May, nil, enforce, false, unknown, tlsrpt.NotTrusted},
		{"MTA-STS, expired", May, nil, enforce, false, connection(ca, expired, mx), tlsrpt.Expired},
		{"MTA-STS, other name", May, nil, enforce, false, connection(ca, nil, domain), tlsrpt.HostMismatch},
		{"testing", May, nil, sts(mtasts.Testing, mx), false, unknown, ""},
		{"verify", Verify, nil, nil, true, good, ""},
		{"verify, name of the domain", Verify, nil, nil, true, connection(ca, nil, domain), tlsrpt.HostMismatch},
		{"verify, unknown root", Verify, nil, nil, true, unknown, tlsrpt.NotTrusted},
		{"verify, DANE holds", Verify, tlsa(unknown), nil, false, unknown, tlsrpt.NotTrusted},
		{"verify, DANE does not", Verify, tlsa(unknown), nil, false, good, tlsrpt.ValidationFailure},
		{"secure, name of the domain", Secure, nil, nil, true, connection(ca, nil, domain), ""},
		{"secure, name below it", Secure, nil, nil, true, good, ""},
		{"secure, other name", Secure, nil, nil, true, connection(ca, nil, "notexample.test"), tlsrpt.HostMismatch},
		{"secure, unknown root", Secure, nil, nil, true, unknown, tlsrpt.NotTrusted},
		{"no certificate", Verify, nil, nil, true, &tls.ConnectionState{}, tlsrpt.ValidationFailure},
	} {
		d := Effective(c.local, Host{Name: mx, Domain: domain, MXSecure: !c.unsigned, DANE: c.dane, STS: c.sts})
		err := d.Verify(c.state, ca.Pool())
		if got := tlsrpt.TypeOf(err); got != c.want {
			t.Errorf("%s (%v, %s): %v is %q, want %q", c.name, d.Level, d.Reason, err, got, c.want)
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Host != mx) {
			t.Errorf("%s: %T", c.name, err)
		}
	}
}

// The words of package mtasts are those of package tlsrpt, though neither knows
// the other.
func TestResultTypes(t *testing.T) {
	fetch := &mtasts.Client{Dial: nil}
	_, err := fetch.Fetch(t.Context(), "no/name")
	for _, err := range []error{err, enforceError(nil), enforceError(&tls.ConnectionState{})} {
		if got := tlsrpt.TypeOf(err); !strings.Contains(fmt.Sprint(tlsrpt.Types), string(got)) || got == "" {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func enforceError(s *tls.ConnectionState) error {
	return sts(mtasts.Enforce, mx).Check(mx, s, nil)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
