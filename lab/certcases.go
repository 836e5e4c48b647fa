package lab

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"time"

	"example.org/starttls"

	"golang.org/x/crypto/ocsp"
)

const rfc9525 = "RFC 9525"

// certificates are the cases in which the handshake is sound and the
// certificate is not.
var certificates = []Case{
	cert("cert-self", 14, "self-signed", "has a certificate for the right name that nobody but itself has signed", func(k *pki) (*tls.Config, error) {
		return present(k.trusted.SelfSigned(k.names...))
	}),
	cert("cert-untrusted-ca", 15, "from an authority that the client does not know", "has a certificate for the right name from an authority that was not given to the client", func(k *pki) (*tls.Config, error) {
		return present(k.stranger.Issue(nil, k.names...))
	}, "CVE-2026-41016"),
	cert("cert-name", 16, "for another name", "has a certificate of the right authority for another name", func(k *pki) (*tls.Config, error) {
		return present(k.trusted.Issue(nil, "other.example.test"))
	}, rfc9525, "CVE-2026-107819"),
	cert("cert-expired", 17, "expired", "has a certificate that expired two days ago", validity(-72*time.Hour, -48*time.Hour)),
	cert("cert-notyet", 18, "not valid yet", "has a certificate that will be valid in two days", validity(48*time.Hour, 72*time.Hour)),
	cert("cert-cn-only", 19, "with the name in the subject alone", "has a certificate whose common name alone is the right one", edited(func(t *x509.Certificate) {
		t.Subject.CommonName, t.DNSNames, t.IPAddresses = t.DNSNames[0], nil, nil
	}), rfc9525+" section 6.3"),
	cert("cert-wild-all", 20, "for a wildcard that covers all", "has a certificate for * and for *.*", named("*", "*.*")),
	cert("cert-wild-part", 20, "for a wildcard within a label", "has a certificate for the name with a star in the place of some letters", func(k *pki) (*tls.Config, error) {
		return named(k.names[0][:1] + "*" + k.names[0][min(3, len(k.names[0])):])(k)
	}, rfc9525+" section 6.3"),
	cert("cert-wild-deep", 20, "for a wildcard that covers several labels", "has a certificate whose wildcard stands for a label too many, or for none", func(k *pki) (*tls.Config, error) {
		_, parent, deep := strings.Cut(k.names[0], ".")
		if !deep {
			parent = k.names[0]
		}
		return named("*.*."+parent, "*."+lastLabel(parent))(k)
	}, rfc9525+" section 6.3"),
	cert("cert-nul", 21, "with a NUL in its name", "has a certificate for the right name, a NUL, and another domain", func(k *pki) (*tls.Config, error) {
		return named(k.names[0] + "\x00.other.example.test")(k)
	}, "CVE-2009-2408"),
	cert("cert-eku", 22, "for clients, not for servers", "has a certificate for the right name that may be used by clients alone", edited(func(t *x509.Certificate) {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}), "RFC 5280 section 4.2.1.12"),
	cert("cert-ca-leaf", 23, "issued by a server's certificate", "has a certificate for the right name that was signed with the key of a certificate that is no authority's", func(k *pki) (*tls.Config, error) {
		return present(k.trusted.IssueByLeaf(k.names...))
	}, "CVE-2002-0862", "RFC 5280 section 4.2.1.9"),
	at("127.0.0.1", cert("cert-ip-as-dns", 24, "with an address for a name", "is asked for by its address, and has a certificate in which that stands as a host's name", named("127.0.0.1"), rfc9525+" section 6.5")),
	cert("cert-revoked", 25, "revoked", "has a certificate that its authority has revoked, as the response stapled to the handshake says", func(k *pki) (*tls.Config, error) {
		c, err := k.trusted.Issue(nil, k.names...)
		if err == nil {
			c.OCSPStaple, err = k.trusted.Staple(c.Leaf, func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, time.Now().Add(-time.Hour) })
		}
		return present(c, err)
	}, "RFC 6961", "RFC 6066 section 8"),
}

func cert(id string, number int, title, does string, present func(*pki) (*tls.Config, error), references ...string) Case {
	return Case{ID: id, Number: number, Title: "the certificate is " + title, Does: does, References: references,
		lies: []lie{{mode: starttls.Optional, refusable: true, tls: present}}}
}

// at gives the client another name of the server.
func at(host string, c Case) Case {
	c.host = host
	return c
}

// named is a certificate of the trusted authority for these DNS names alone.
func named(names ...string) func(*pki) (*tls.Config, error) {
	return edited(func(t *x509.Certificate) {
		t.Subject.CommonName, t.DNSNames, t.IPAddresses = "", names, nil
	})
}

func lastLabel(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// netConn keeps the catalogue's lines short.
type netConn = net.Conn
