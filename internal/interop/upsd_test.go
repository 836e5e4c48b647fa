package interop

import (
	"fmt"
	"path/filepath"
	"testing"
)

// upsd of the Network UPS Tools, with no power supply. Its certificate lies in
// a database of NSS.
//
//	client -- nut, STARTTLS --> upsd (NSS)

type upsd struct {
	*server
	NUT string // address
}

func startUpsd(t testing.TB) *upsd {
	t.Helper()
	const program = "/lib/nut/upsd"
	u := &upsd{server: newServer(t, "upsd", program, "/usr/bin/certutil"), NUT: freeAddr(t)}
	cert, key := u.certify(t, good)
	db := u.nssDatabase(t)
	u.prepare(t, "root", "", "/usr/bin/openssl", "pkcs12", "-export", "-in", cert, "-inkey", key, "-name", "upsd", "-out", "cert.p12", "-passout", "pass:x")
	u.prepare(t, "root", "", "/usr/bin/pk12util", "-i", "cert.p12", "-d", db, "-W", "x")
	u.write(t, "upsd.conf", fmt.Sprintf("LISTEN 127.0.0.1 %s\nCERTPATH %s\nCERTIDENT upsd \"\"\nDISABLE_WEAK_SSL true\nALLOW_NO_DEVICE true\n", portOf(u.NUT), db), 0o640)
	u.write(t, "upsd.users", "", 0o640)
	u.write(t, "ups.conf", "", 0o640)
	u.giveTo(t, "nut")
	u.run(t, "nut", []string{u.NUT}, "/usr/bin/env", "NUT_CONFPATH="+u.Dir, "NUT_STATEPATH="+u.Dir, "NUT_ALTPIDPATH="+u.Dir, program, "-F")
	return u
}

// nssDatabase makes a database of certificates that trusts the tests' root.
func (s *server) nssDatabase(t testing.TB) string {
	t.Helper()
	db := "sql:" + s.mkdir(t, "nss")
	s.prepare(t, "root", "", "/usr/bin/certutil", "-N", "-d", db, "--empty-password")
	s.prepare(t, "root", "", "/usr/bin/certutil", "-A", "-d", db, "-n", "root", "-t", "C,,", "-i", s.CAFile)
	return filepath.Join(s.Dir, "nss")
}
