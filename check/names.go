package check

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"strings"

	"example.org/starttls"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Whom a certificate is for, by RFC 9525: DNS names and addresses, and where the
// service is found by an SRV record, names of the service too. The common name
// does not count.

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidSRVName        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 7} // RFC 4985
	oidXMPPAddress    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5} // RFC 6120, section 13.7.1.4
)

// isFor reports whether c is for a service of the domain or host name, as p's
// clients verify it.
func isFor(c *x509.Certificate, p starttls.Protocol, name string) bool {
	if c.VerifyHostname(name) == nil {
		return true
	}
	info := p.Info()
	for _, n := range otherNames(c) {
		service, domain, ok := strings.Cut(strings.TrimPrefix(n.text, "_"), ".")
		switch {
		case n.id.Equal(oidSRVName) && ok && info.SRV != "" && strings.EqualFold(service, info.SRV) && strings.EqualFold(domain, name):
			return true
		case n.id.Equal(oidXMPPAddress) && info.NamesDomain && strings.EqualFold(n.text, name):
			return true
		}
	}
	return false
}

// otherName is a name in the certificate that crypto/x509 does not read.
type otherName struct {
	id   asn1.ObjectIdentifier
	text string
}

// otherNames reads the otherName entries of the subject alternative name (RFC
// 5280, section 4.2.1.6), as far as they are text.
func otherNames(c *x509.Certificate) (out []otherName) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		der := cryptobyte.String(e.Value)
		var names cryptobyte.String
		if !der.ReadASN1(&names, casn1.SEQUENCE) {
			return nil
		}
		for !names.Empty() {
			var entry cryptobyte.String
			var tag casn1.Tag
			if !names.ReadAnyASN1(&entry, &tag) {
				return out
			}
			if n, ok := readOtherName(entry); ok && tag == casn1.Tag(0).ContextSpecific().Constructed() {
				out = append(out, n)
			}
		}
	}
	return out
}

func readOtherName(entry cryptobyte.String) (n otherName, ok bool) {
	var value, text cryptobyte.String
	var tag casn1.Tag
	ok = entry.ReadASN1ObjectIdentifier(&n.id) &&
		entry.ReadASN1(&value, casn1.Tag(0).ContextSpecific().Constructed()) &&
		value.ReadAnyASN1(&text, &tag) && (tag == casn1.IA5String || tag == casn1.UTF8String)
	n.text = string(text)
	return n, ok
}

// verifyFor says why a chain does not verify for a name; "" if it does.
func (r *run) verifyFor(chain []*x509.Certificate, name string) string {
	leaf, now := chain[0], r.options.Now()
	switch {
	case !isFor(leaf, r.target.Protocol, name):
		return "it is for " + nameList(leaf)
	case now.After(leaf.NotAfter):
		return "it expired on " + day(leaf.NotAfter)
	}
	if err := r.trust(chain, now); err != nil {
		return err.Error()
	}
	return ""
}

// otherNames asks for the server by each of its other names.
func (r *run) otherNames(ctx context.Context) trial {
	var faults []string
	for _, name := range r.options.Names {
		v := r.visit(ctx, func(c *starttls.Config) { c.ServerName, c.Bare = name, true })
		n := NamedCert{Name: name}
		switch {
		case v.seen == nil:
			n.Error = r.notMade(ctx, v.err).detail
		default:
			n.SHA256 = describe(v.seen.PeerCertificates[0]).SHA256
			n.Error = r.verifyFor(v.seen.PeerCertificates, name)
		}
		if v.conn != nil {
			v.conn.Close()
		}
		if n.Verified = n.Error == ""; !n.Verified {
			faults = append(faults, name+": "+n.Error)
		}
		r.Certificate.ByName = append(r.Certificate.ByName, n)
	}
	if len(faults) > 0 {
		return trial{verdict: Warn, detail: strings.Join(faults, "; ")}
	}
	return trial{verdict: Passed, detail: "each name has its certificate"}
}
