package dane

import (
	"bytes"
	"crypto/x509"
	"testing"
)

// Whatever a record says: reading and using it ends well, and one that is not
// usable authenticates nobody.
func FuzzRecord(f *testing.F) {
	s := issue(f, authority(f), nil, mx)
	for _, u := range []Usage{PKIXTA, PKIXEE, DANETA, DANEEE} {
		for _, sel := range []Selector{Cert, SPKI} {
			for _, m := range []Matching{Full, SHA256, SHA512} {
				r := NewRecord(u, sel, m, s.leaf())
				f.Add(append([]byte{byte(u), byte(sel), byte(m)}, r.Data...))
			}
		}
	}
	f.Fuzz(func(t *testing.T, rdata []byte) {
		r, err := ParseRecord(rdata)
		if err != nil {
			if len(rdata) >= 3 {
				t.Fatalf("%x: %v", rdata, err)
			}
			return
		}
		if len(r.String()) != len("0 0 0 ")+2*len(r.Data)+digits(r) {
			t.Errorf("%q", r.String())
		}
		for _, pkix := range []bool{false, true} {
			p := policy(Service{PKIX: pkix}, mx, mx, [][]byte{rdata})
			_, err := p.Verify(s.chain, x509.NewCertPool())
			if r.Usable(pkix) != nil && (p.Demand != Encrypt || len(effective(p.Records, pkix)) > 0) {
				t.Errorf("%v is not usable, but %v", r, p.Demand)
			}
			if p.Demand == Authenticate && err == nil && !bytes.Equal(r.Data, digest(r.Selector, r.Matching, s.leaf())) &&
				r.Usage != DANETA {
				t.Errorf("%v authenticates another certificate", r)
			}
		}
	})
}

// digits is how many digits r's numbers have beyond one each.
func digits(r Record) (n int) {
	for _, b := range []byte{byte(r.Usage), byte(r.Selector), byte(r.Matching)} {
		for ; b >= 10; b /= 10 {
			n++
		}
	}
	return n
}
