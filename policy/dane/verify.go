package dane

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Error is a server that its TLSA records do not authenticate.
type Error struct {
	Base  string
	Tried []Mismatch
}

// Mismatch is why one record did not do. Err can be one of package x509's.
type Mismatch struct {
	Record Record
	Err    error
}

func (e *Error) Error() string {
	var tried []string
	for _, m := range e.Tried {
		tried = append(tried, m.Record.String()+": "+m.Err.Error())
	}
	return "the certificate is not one that the TLSA records of " + e.Base + " stand for: " + strings.Join(tried, "; ")
}

// Unwrap gives the reasons.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, m := range e.Tried {
		errs = append(errs, m.Err)
	}
	return errs
}

var (
	errOther    = errors.New("it is of another certificate")
	errNoIssuer = errors.New("its issuer is not in the chain that was served")
)

// Verify authenticates a server by the certificates that it served, its own
// first, and returns the record that did it. One is enough. If Demand is not
// Authenticate there is nothing to verify: it returns p.Err. roots are needed
// for usages 0 and 1 alone; nil means the system's.
func (p *Policy) Verify(chain []*x509.Certificate, roots *x509.CertPool) (Record, error) {
	if p.Demand != Authenticate {
		return Record{}, p.Err
	}
	if len(chain) == 0 {
		return Record{}, errors.New("the server sent no certificate")
	}
	e := &Error{Base: p.Base}
	for _, r := range effective(p.Records, p.pkix) {
		err := p.verify(r, chain, roots)
		if err == nil {
			return r, nil
		}
		e.Tried = append(e.Tried, Mismatch{r, err})
	}
	return Record{}, e
}

// effective returns the usable records, without those whose digest is weaker
// than another's of the same usage and selector (RFC 7671, section 9).
func effective(records []Record, pkix bool) []Record {
	type kind struct {
		Usage
		Selector
	}
	strongest := map[kind]Matching{}
	for _, r := range records {
		if r.Usable(pkix) == nil {
			k := kind{r.Usage, r.Selector}
			strongest[k] = max(strongest[k], r.Matching)
		}
	}
	var l []Record
	for _, r := range records {
		if r.Usable(pkix) == nil && (r.Matching == Full || r.Matching == strongest[kind{r.Usage, r.Selector}]) {
			l = append(l, r)
		}
	}
	return l
}

func (p *Policy) verify(r Record, chain []*x509.Certificate, roots *x509.CertPool) error {
	leaf := chain[0]
	switch r.Usage {
	case DANEEE, PKIXEE:
		if !r.Matches(leaf) {
			return errOther
		}
		if r.Usage == DANEEE { // names and dates do not matter (RFC 7671, section 5.1)
			return nil
		}
		_, err := verifyPKIX(chain, roots, p.Names)
		return err
	case DANETA:
		anchors, err := r.anchors(chain)
		if err != nil {
			return err
		}
		_, err = verifyPKIX(chain, anchors, p.Names)
		return err
	}
	chains, err := verifyPKIX(chain, roots, p.Names)
	if err != nil {
		return err
	}
	for _, c := range chains {
		for _, issuer := range c[1:] {
			if r.Matches(issuer) {
				return nil
			}
		}
	}
	return errOther
}

// anchors are the certificates that a DANE-TA record makes trust anchors: the
// issuers that were served, or the one that the record holds (RFC 7671, section
// 5.2.2). Where it holds a bare key, what that key signed is trusted (section
// 5.2.3).
func (r Record) anchors(chain []*x509.Certificate) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), false
	add := func(c *x509.Certificate) { pool.AddCert(c); found = true }
	for _, c := range chain[1:] {
		if r.Matches(c) && !c.Equal(chain[0]) {
			add(c)
		}
	}
	switch {
	case found || r.Matching != Full:
	case r.Selector == Cert:
		if c, err := x509.ParseCertificate(r.Data); err == nil {
			add(c)
		}
	default:
		key, err := x509.ParsePKIXPublicKey(r.Data)
		if err != nil {
			return nil, err
		}
		signer := &x509.Certificate{PublicKey: key}
		for _, c := range chain {
			if signer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
				add(c)
			}
		}
	}
	if !found {
		return nil, errNoIssuer
	}
	return pool, nil
}

// verifyPKIX verifies signatures, dates and one of the names (RFC 9525: of the
// subject alternative names alone).
func verifyPKIX(chain []*x509.Certificate, roots *x509.CertPool, names []string) ([][]*x509.Certificate, error) {
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := chain[0].Verify(opts)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if err = chain[0].VerifyHostname(n); err == nil {
			return chains, nil
		}
	}
	return nil, fmt.Errorf("it bears none of the names %s: %w", strings.Join(names, ", "), err)
}

// Compare tells, for each published record, which of the served chains it
// stands for, by index: at a server's different addresses and key types, say.
// A record that stands for none is of a key to come or was left behind. publish
// holds a record for each chain that none of the records authenticates. It has
// to be in the DNS for two times the TTL before a new key is served, and the
// old one with it (RFC 7671, section 8).
func Compare(records []Record, pkix bool, chains ...[]*x509.Certificate) (matches [][]int, publish []Record) {
	matches = make([][]int, len(records))
	for i, r := range records {
		for n, chain := range chains {
			if r.standsFor(chain) {
				matches[i] = append(matches[i], n)
			}
		}
	}
	for _, chain := range chains {
		covered := false
		for _, r := range effective(records, pkix) {
			covered = covered || r.standsFor(chain)
		}
		if !covered && len(chain) > 0 {
			publish = append(publish, NewRecord(DANEEE, SPKI, SHA256, chain[0]))
		}
	}
	return matches, publish
}

// standsFor reports whether the record is of the chain's leaf or, by its usage,
// of one of the issuers.
func (r Record) standsFor(chain []*x509.Certificate) bool {
	if len(chain) == 0 {
		return false
	}
	if r.Usage == DANEEE || r.Usage == PKIXEE {
		return r.Matches(chain[0])
	}
	for _, c := range chain[1:] {
		if r.Matches(c) {
			return true
		}
	}
	return false
}
