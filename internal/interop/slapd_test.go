package interop

import (
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
)

// slapd: a slapd.conf and an ldif backend with one entry, searchable by all.
//
//	client -- ldap:// (StartTLS), ldaps:// --> slapd (GnuTLS)

type slapdOptions struct {
	Certificate certificate
	NoTLS       bool // StartTLS is answered protocolError (2); LDAPS is then empty
	RequireTLS  bool // operations in clear are refused: confidentialityRequired (13)
}

type slapd struct {
	*server
	LDAP, LDAPS string // addresses
	LDAPI       string // unix socket
	Base        string // entry that an anonymous search finds
	Admin       string // DN that may bind with password
}

func startSlapd(t testing.TB, o slapdOptions) *slapd {
	t.Helper()
	const program = "/usr/sbin/slapd"
	s := &slapd{server: newServer(t, "slapd", program, "/etc/ldap/schema/core.schema")}
	s.Base, s.Admin = "dc=example,dc=test", "cn=admin,dc=example,dc=test"
	s.LDAP = freeAddr(t)
	s.LDAPI = filepath.Join(s.Dir, "ldapi")
	addrs, urls := []string{s.LDAP}, "ldap://"+s.LDAP+" ldapi://"+url.PathEscape(s.LDAPI)
	if !o.NoTLS {
		s.LDAPS = freeAddr(t)
		addrs, urls = append(addrs, s.LDAPS), urls+" ldaps://"+s.LDAPS
	}
	conf := s.write(t, "slapd.conf", s.config(t, o), 0o600)
	s.mkdir(t, "db")
	entry := s.write(t, "base.ldif", "dn: "+s.Base+"\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n", 0o644)
	s.prepare(t, "root", "", "/usr/sbin/slapadd", "-f", conf, "-l", entry)
	// Any -d keeps it in the foreground; "stats" logs connections and operations.
	s.run(t, "root", addrs, program, "-f", conf, "-h", urls, "-d", "stats")
	return s
}

func (s *slapd) config(t testing.TB, o slapdOptions) string {
	t.Helper()
	conf := fmt.Sprintf("include /etc/ldap/schema/core.schema\npidfile %[1]s/pid\nargsfile %[1]s/args\n", s.Dir)
	if !o.NoTLS {
		cert, key := s.certify(t, o.Certificate)
		conf += fmt.Sprintf("TLSCertificateFile %s\nTLSCertificateKeyFile %s\n", cert, key)
	}
	if o.RequireTLS {
		conf += "security ssf=128\n"
	}
	return conf + fmt.Sprintf(`database ldif
suffix %q
rootdn %q
rootpw %s
directory %s/db
access to * by * read
`, s.Base, s.Admin, password, s.Dir)
}
