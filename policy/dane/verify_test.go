package dane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"example.org/starttls/internal/testca"
)

// served is a chain as a server sends it.
type served struct {
	*testca.CA
	chain []*x509.Certificate
}

func (s served) leaf() *x509.Certificate { return s.chain[0] }

func (s served) alone() served { s.chain = s.chain[:1]; return s }

func issue(t testing.TB, ca *testca.CA, edit func(*x509.Certificate), names ...string) served {
	t.Helper()
	cert, err := ca.Issue(edit, names...)
	check(t, err)
	return served{ca, parse(t, cert)}
}

func parse(t testing.TB, cert tls.Certificate) (chain []*x509.Certificate) {
	t.Helper()
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		check(t, err)
		chain = append(chain, c)
	}
	return chain
}

func authority(t testing.TB) *testca.CA {
	t.Helper()
	ca, err := testca.New("test root")
	check(t, err)
	return ca
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func longAgo(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
}

const mx = "mx.example.test"

func TestVerify(t *testing.T) {
	ca, other := authority(t), authority(t) // of the same name
	good := issue(t, ca, nil, mx)
	expired := issue(t, ca, longAgo, mx)
	misnamed := issue(t, ca, nil, "www.example.net")
	byDomain := issue(t, ca, nil, "example.test")
	wildcard := issue(t, ca, nil, "*.example.test")
	self, err := testca.New(mx) // a certificate that could issue others
	check(t, err)
	itself := served{self, parse(t, self.Self())}
	twice := served{self, append(parse(t, self.Self()), parse(t, self.Self())...)}
	swapped := served{ca, []*x509.Certificate{good.leaf(), other.Certificate}} // not who issued it
	notCA := issue(t, ca, nil, "not.an.authority")
	byNotCA := served{ca, []*x509.Certificate{good.leaf(), notCA.leaf()}}

	leaf := func(s Selector, m Matching) Record { return NewRecord(DANEEE, s, m, good.leaf()) }
	root := func(s Selector, m Matching) Record { return NewRecord(DANETA, s, m, ca.Certificate) }
	bad := func(r Record) Record { r.Data = append([]byte{r.Data[0] ^ 1}, r.Data[1:]...); return r }
	short := func(r Record) Record { r.Data = r.Data[1:]; return r }
	var noSuch Record = Record{Usage: 4, Data: make([]byte, 32)}

	for _, c := range []struct {
		name    string
		served  served
		roots   *x509.CertPool // of usages 0 and 1
		records []Record
		matched int // index of the record that did it, -1 for none
		err     any // a pointer for errors.As, if it matters
	}{
		{"3 0 0", good, nil, []Record{leaf(Cert, Full)}, 0, nil},
		{"3 0 1", good, nil, []Record{leaf(Cert, SHA256)}, 0, nil},
		{"3 1 0", good, nil, []Record{leaf(SPKI, Full)}, 0, nil},
		{"3 1 1", good.alone(), nil, []Record{leaf(SPKI, SHA256)}, 0, nil},
		{"3 1 2", good, nil, []Record{leaf(SPKI, SHA512)}, 0, nil},
		{"3 1 1 of another key", misnamed, nil, []Record{leaf(SPKI, SHA256)}, -1, nil},
		{"3 1 1 of the issuer", good, nil, []Record{NewRecord(DANEEE, SPKI, SHA256, ca.Certificate)}, -1, nil},
		{"3 1 1, expired", expired, nil, []Record{NewRecord(DANEEE, SPKI, SHA256, expired.leaf())}, 0, nil},
		{"3 1 1, other name", misnamed, nil, []Record{NewRecord(DANEEE, SPKI, SHA256, misnamed.leaf())}, 0, nil},
		{"rollover", good, nil, []Record{bad(leaf(SPKI, SHA256)), leaf(SPKI, SHA256)}, 1, nil},

		{"2 0 1", good, nil, []Record{root(Cert, SHA256)}, 0, nil},
		{"2 1 2", good, nil, []Record{root(SPKI, SHA512)}, 0, nil},
		{"2 0 1, name of the domain", byDomain, nil, []Record{root(Cert, SHA256)}, 0, nil},
		{"2 0 1, wildcard", wildcard, nil, []Record{root(Cert, SHA256)}, 0, nil},
		{"2 0 1, other name", misnamed, nil, []Record{root(Cert, SHA256)}, -1, new(x509.HostnameError)},
		{"2 0 1, expired", expired, nil, []Record{root(Cert, SHA256)}, -1, new(x509.CertificateInvalidError)},
		{"2 0 1, root not served", good.alone(), nil, []Record{root(Cert, SHA256)}, -1, nil},
		{"2 0 0, root not served", good.alone(), nil, []Record{root(Cert, Full)}, 0, nil},
		{"2 1 0, root not served", good.alone(), nil, []Record{root(SPKI, Full)}, 0, nil},
		{"2 1 0, root not served, other name", misnamed.alone(), nil, []Record{root(SPKI, Full)}, -1, new(x509.HostnameError)},
		{"2 1 0, root not served, expired", expired.alone(), nil, []Record{root(SPKI, Full)}, -1, new(x509.CertificateInvalidError)},
		{"2 1 0 of another key", good.alone(), nil, []Record{NewRecord(DANETA, SPKI, Full, other.Certificate)}, -1, nil},
		{"2 0 1 of the certificate itself", itself, nil, []Record{NewRecord(DANETA, Cert, SHA256, itself.leaf())}, -1, nil},
		{"2 0 1 of the certificate itself, served twice", twice, nil, []Record{NewRecord(DANETA, Cert, SHA256, itself.leaf())}, -1, nil},
		{"2 0 1 of one who did not sign", swapped, nil, []Record{NewRecord(DANETA, Cert, SHA256, other.Certificate)}, -1, nil},
		{"2 0 1 of one who may not sign", byNotCA, nil, []Record{NewRecord(DANETA, Cert, SHA256, notCA.leaf())}, -1, nil},

		{"1 1 1", good, ca.Pool(), []Record{NewRecord(PKIXEE, SPKI, SHA256, good.leaf())}, 0, nil},
		{"1 1 1, other roots", good, other.Pool(), []Record{NewRecord(PKIXEE, SPKI, SHA256, good.leaf())}, -1, nil},
		{"1 1 1, other name", misnamed, ca.Pool(), []Record{NewRecord(PKIXEE, SPKI, SHA256, misnamed.leaf())}, -1, new(x509.HostnameError)},
		{"0 0 1", good, ca.Pool(), []Record{NewRecord(PKIXTA, Cert, SHA256, ca.Certificate)}, 0, nil},
		{"0 0 1, root not served", good.alone(), ca.Pool(), []Record{NewRecord(PKIXTA, Cert, SHA256, ca.Certificate)}, 0, nil},
		{"0 0 1 of another", good, ca.Pool(), []Record{NewRecord(PKIXTA, Cert, SHA256, other.Certificate)}, -1, nil},
		{"0 0 1, other roots", good, other.Pool(), []Record{NewRecord(PKIXTA, Cert, SHA256, ca.Certificate)}, -1, nil},

		{"the strongest digest rules", good, nil, []Record{leaf(SPKI, SHA256), bad(leaf(SPKI, SHA512))}, -1, nil},
		{"of each selector", good, nil, []Record{leaf(Cert, SHA256), bad(leaf(SPKI, SHA512))}, 0, nil},
		{"of each usage", good, nil, []Record{root(SPKI, SHA256), bad(leaf(SPKI, SHA512))}, 0, nil},
		{"the key itself is no digest", good, nil, []Record{leaf(SPKI, Full), bad(leaf(SPKI, SHA512))}, 0, nil},
		{"a malformed digest is not strong", good, nil, []Record{short(leaf(SPKI, SHA512)), leaf(SPKI, SHA256)}, 1, nil},
		{"unknown usage", good, nil, []Record{noSuch, leaf(SPKI, SHA256)}, 1, nil},
		{"no certificate", served{}, nil, []Record{leaf(SPKI, SHA256)}, -1, nil},
	} {
		p := &Policy{Demand: Authenticate, Base: mx, Names: []string{mx, "example.test"}, Records: c.records, pkix: c.roots != nil}
		r, err := p.Verify(c.served.chain, c.roots)
		if (err == nil) != (c.matched >= 0) || err == nil && !reflect.DeepEqual(r, c.records[c.matched]) {
			t.Errorf("%s: %v, %v", c.name, r, err)
		}
		if c.err != nil && !errors.As(err, c.err) {
			t.Errorf("%s: %v is no %T", c.name, err, c.err)
		}
	}
}

// What asks for no certificate verifies none; what cannot be told never passes.
func TestVerifyWithoutDemand(t *testing.T) {
	for d, ok := range map[Demand]bool{None: true, Encrypt: true, Unreachable: false} {
		p := &Policy{Demand: d}
		if d == Unreachable {
			p = unreachable(errors.New("no answer"))
		}
		if _, err := p.Verify(nil, nil); (err == nil) != ok {
			t.Errorf("%v: %v", d, err)
		}
	}
}

func TestUsable(t *testing.T) {
	leaf := issue(t, authority(t), nil, mx).leaf()
	good := NewRecord(DANEEE, SPKI, SHA256, leaf)
	with := func(edit func(*Record)) Record { r := good; edit(&r); return r }
	for _, c := range []struct {
		record     Record
		smtp, pkix bool
	}{
		{good, true, true},
		{with(func(r *Record) { r.Usage = DANETA }), true, true},
		{with(func(r *Record) { r.Usage = PKIXEE }), false, true},
		{with(func(r *Record) { r.Usage = PKIXTA }), false, true},
		{with(func(r *Record) { r.Usage = 4 }), false, false},
		{with(func(r *Record) { r.Selector = 2 }), false, false},
		{with(func(r *Record) { r.Matching = 3 }), false, false},
		{with(func(r *Record) { r.Matching = SHA512 }), false, false},
		{with(func(r *Record) { r.Data = nil }), false, false},
		{NewRecord(DANEEE, Cert, Full, leaf), true, true},
		{NewRecord(DANEEE, SPKI, Full, leaf), true, true},
		{Record{DANEEE, Cert, Full, leaf.RawSubjectPublicKeyInfo}, false, false},
		{Record{DANEEE, SPKI, Full, leaf.Raw}, false, false},
	} {
		if err := c.record.Usable(false); (err == nil) != c.smtp {
			t.Errorf("%v between mail servers: %v", c.record, err)
		}
		if err := c.record.Usable(true); (err == nil) != c.pkix {
			t.Errorf("%v elsewhere: %v", c.record, err)
		}
	}
}

func TestCompare(t *testing.T) {
	ca := authority(t)
	now, next, third := issue(t, ca, nil, mx), issue(t, ca, nil, mx), issue(t, authority(t), nil, mx)
	records := []Record{
		NewRecord(DANEEE, SPKI, SHA256, now.leaf()),
		NewRecord(DANEEE, Cert, SHA256, next.leaf()),
		NewRecord(DANETA, Cert, SHA256, ca.Certificate),
		{Usage: DANEEE, Selector: SPKI, Matching: SHA256, Data: make([]byte, 32)},
	}
	matches, publish := Compare(records, false, now.chain, next.chain, third.chain)
	if got := fmt.Sprint(matches); got != "[[0] [1] [0 1] []]" {
		t.Error(got)
	}
	if want := []Record{NewRecord(DANEEE, SPKI, SHA256, third.leaf())}; !reflect.DeepEqual(publish, want) {
		t.Errorf("%v, want %v", publish, want)
	}
	if matches, publish = Compare(records[:1], false, now.chain, nil); fmt.Sprint(matches) != "[[0]]" || publish != nil {
		t.Errorf("%v, %v", matches, publish)
	}
	// A weaker digest beside a stronger one of another key authenticates nobody.
	records = []Record{NewRecord(DANEEE, SPKI, SHA256, now.leaf()), NewRecord(DANEEE, SPKI, SHA512, next.leaf())}
	if _, publish = Compare(records, false, now.chain); len(publish) != 1 {
		t.Error(publish)
	}
}

func TestRecordText(t *testing.T) {
	r, err := ParseRecord([]byte("\x03\x01\x01\xab\xcd"))
	if err != nil || r.String() != "3 1 1 abcd" || r.Usage.String() != "DANE-EE" || Usage(9).String() != "usage 9" {
		t.Errorf("%v, %v, %v", r, r.Usage, err)
	}
}
