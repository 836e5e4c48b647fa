package tlsprobe_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.org/starttls/internal/tlsprobe"
	"example.org/starttls/internal/tlsprobe/tlswire"
)

// startPeer runs a real server on a free loopback port, with the arguments that
// args makes of it, and ends it with the test.
func startPeer(t testing.TB, program string, args func(port string) []string) *tlsprobe.Server {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program+" is not installed: run make peers")
	}
	for range 3 { // the free port may be taken by then
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		addr := l.Addr().String()
		l.Close()
		_, port, _ := net.SplitHostPort(addr)
		if s := runPeer(t, exec.Command(path, args(port)...), addr); s != nil {
			return s
		}
	}
	t.Fatalf("%s does not listen", program)
	return nil
}

// runPeer starts cmd and waits until it listens; nil if it ended instead.
func runPeer(t testing.TB, cmd *exec.Cmd, addr string) *tlsprobe.Server {
	in, err := cmd.StdinPipe() // openssl s_server leaves when its input ends
	check(t, err)
	var log strings.Builder
	cmd.Stderr = &log
	check(t, cmd.Start())
	gone := make(chan struct{})
	go func() { defer close(gone); cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-gone
		in.Close()
		if t.Failed() {
			t.Logf("%s\n%s", cmd, log.String()[max(0, log.Len()-2000):])
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if nc, err := net.Dial("tcp", addr); err == nil {
			nc.Close()
			return probe(addr)
		}
		select {
		case <-gone:
			return nil
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// pemFiles writes a certificate and its key.
func pemFiles(t testing.TB, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	check(t, err)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return cert, key
}

// openssl starts `openssl s_server` with certificates of both kinds.
func openssl(t testing.TB, args ...string) *tlsprobe.Server {
	t.Helper()
	ec, err := theCA().Issue(nil, name)
	check(t, err)
	rsaCert, rsaKey := pemFiles(t, certificate())
	ecCert, ecKey := pemFiles(t, ec)
	return startPeer(t, "openssl", func(port string) []string {
		return append([]string{"s_server", "-accept", "127.0.0.1:" + port, "-quiet",
			"-cert", rsaCert, "-key", rsaKey, "-dcert", ecCert, "-dkey", ecKey}, args...)
	})
}

// opensslCiphers lists the suites that openssl would have in one version.
func opensslCiphers(t testing.TB, version, spec string) (ids []uint16) {
	t.Helper()
	out, err := exec.Command("openssl", "ciphers", "-V", "-s", "-"+version, spec).Output()
	check(t, err)
	for _, m := range regexp.MustCompile(`0x(..),0x(..) `).FindAllStringSubmatch(string(out), -1) {
		id, err := strconv.ParseUint(m[1]+m[2], 16, 16)
		check(t, err)
		ids = append(ids, uint16(id))
	}
	return ids
}

// Every suite that openssl has, in the versions it has, and its own order.
func TestOpenSSLSuites(t *testing.T) {
	const spec = "ALL:COMPLEMENTOFALL:!PSK:!SRP:!aDSS:@SECLEVEL=0" // what its certificates allow
	s := openssl(t, "-cipher", spec, "-serverpref")
	for version, flag := range map[uint16]string{tlswire.TLS10: "tls1", tlswire.TLS11: "tls1_1", tlswire.TLS12: "tls1_2", tlswire.TLS13: "tls1_3"} {
		l, err := s.Suites(t.Context(), version)
		check(t, err)
		if l == nil {
			t.Errorf("%s: not found", tlswire.VersionName(version))
			continue
		}
		want := opensslCiphers(t, flag, spec)
		if !slices.Equal(l.IDs, want) || !l.Complete || l.Order != tlsprobe.ServerOrder {
			t.Errorf("%s, %v order:\n%04x, want\n%04x", tlswire.VersionName(version), l.Order, l.IDs, want)
		}
	}
}

// A server of today with its defaults, and openssl's own word for what it has.
func TestOpenSSL(t *testing.T) {
	s := openssl(t, "-alpn", "imap")
	s.ALPN = []string{"imap"}
	r, err := s.Scan(t.Context())
	check(t, err)
	for _, v := range r.Versions {
		if v.Supported != (v.Version >= tlswire.TLS12) {
			t.Errorf("%s: %v", tlswire.VersionName(v.Version), v.Answer)
		}
		if v.Supported && (v.Answer.ALPN != "imap" || len(v.Answer.Chain) != 1 || !v.Answer.Whole) {
			t.Errorf("%s: %+v", tlswire.VersionName(v.Version), v.Answer)
		}
	}
	for _, l := range r.Suites {
		if l.Order != tlsprobe.ClientOrder {
			t.Errorf("%s: %v order", tlswire.VersionName(l.Version), l.Order)
		}
	}
	for _, g := range []uint16{tlswire.X25519, tlswire.P256, tlswire.P384, tlswire.P521, tlswire.X448, tlswire.FFDHE2048} {
		if !r.Groups.TLS13.Has(g) {
			t.Errorf("no group %s in %v", tlswire.GroupName(g), r.Groups)
		}
	}
	if !r.Schemes.TLS13.Has(tlswire.PSSSHA256) || !r.Schemes.TLS13.Has(tlswire.ECDSAP256) || !r.Schemes.Before.Has(tlswire.PKCS1SHA256) || r.Schemes.Before.Has(tlswire.PKCS1SHA1) {
		t.Errorf("schemes %+v", r.Schemes)
	}
	if len(r.DHE) != 1 || r.DHE[0].Bits != 2048 || r.DHE[0].Name != "RFC 3526 group 14" || r.DHE[0].Reused {
		t.Errorf("DHE %+v", r.DHE)
	}
	if r.Certificates.RSA == nil || r.Certificates.EC == nil {
		t.Errorf("certificates %+v", r.Certificates)
	}
	if x := r.Resumption; x.Ticket == nil || !x.ByTicket || !x.ByID || len(x.Tickets13) != 2 || !x.By13 {
		t.Errorf("resumption %+v", x)
	}
	if r.Tolerance.All.Outcome != tlsprobe.Accepted || r.Tolerance.Records.Outcome != tlsprobe.Accepted {
		t.Errorf("tolerance %+v", r.Tolerance)
	}
	if r.ALPN.Wrong.Outcome != tlsprobe.Refused || r.SNI.None.Outcome != tlsprobe.Accepted || r.SNI.Unknown.Outcome != tlsprobe.Accepted {
		t.Errorf("%v, %v, %v", r.ALPN.Wrong, r.SNI.None, r.SNI.Unknown)
	}
	nothingBut(t, r)
}

// nothingBut expects exactly these faults.
func nothingBut(t testing.TB, r *tlsprobe.Report, ids ...string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Verdict == tlsprobe.Inconclusive || (f.Verdict == tlsprobe.Vulnerable) != slices.Contains(ids, f.ID) {
			t.Errorf("%s: %v, %s", f.ID, f.Verdict, f.Detail)
		}
	}
}

// What openssl can be told to do wrong.
func TestOpenSSLFaults(t *testing.T) {
	t.Run("weak", func(t *testing.T) {
		r, err := openssl(t, "-cipher", "ALL:COMPLEMENTOFALL:!PSK:!SRP:@SECLEVEL=0", "-no_ticket").Scan(t.Context())
		check(t, err)
		nothingBut(t, r, "anonymous", "null", "logjam") // 1024 bits for anonymous AES-128
		if r.Resumption.Ticket != nil || !r.Resumption.ByID {
			t.Errorf("resumption %+v", r.Resumption)
		}
	})
	t.Run("renegotiation", func(t *testing.T) {
		for _, version := range []string{"-tls1", "-tls1_1", "-tls1_2"} {
			r, err := openssl(t, version, "-cipher", "DEFAULT:@SECLEVEL=0", "-client_renegotiation").RenegotiationDoS(t.Context())
			check(t, err)
			if r.Verdict != tlsprobe.Vulnerable {
				t.Errorf("%s: %v, %s", version, r.Verdict, r.Detail)
			}
		}
	})
	t.Run("short prime", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "dh.pem")
		check(t, os.WriteFile(file, []byte(dh1024), 0o600))
		primes, err := openssl(t, "-cipher", "DEFAULT:@SECLEVEL=0", "-dhparam", file).DHE(t.Context())
		check(t, err)
		if len(primes) != 1 || primes[0].Bits != 1024 || primes[0].Name != "RFC 2409 group 2" {
			t.Errorf("%+v", primes)
		}
	})
	t.Run("TLS 1.3 alone", func(t *testing.T) {
		r, err := openssl(t, "-tls1_3", "-groups", "P-384", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384", "-serverpref").Scan(t.Context())
		check(t, err)
		nothingBut(t, r)
		if l := r.Suites[0]; len(r.Suites) != 1 || !slices.Equal(l.IDs, []uint16{0x1303, 0x1302}) {
			t.Errorf("%04x", r.Suites[0].IDs)
		}
		if !slices.Equal(r.Groups.TLS13.IDs, []uint16{tlswire.P384}) || r.Certificates.RSA == nil || r.Certificates.EC == nil || !r.Resumption.By13 {
			t.Errorf("%+v, %+v, %+v", r.Groups, r.Certificates, r.Resumption)
		}
	})
}

// dh1024 is RFC 2409's second group, as openssl takes it.
const dh1024 = `-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
`

// GnuTLS with what OpenSSL has not: 3DES, RC4, renegotiation as it comes.
func TestGnuTLS(t *testing.T) {
	ec, err := theCA().Issue(nil, name)
	check(t, err)
	rsaCert, rsaKey := pemFiles(t, certificate())
	ecCert, ecKey := pemFiles(t, ec)
	start := func(priority string) *tlsprobe.Server {
		return startPeer(t, "gnutls-serv", func(port string) []string {
			return []string{"--port", port, "--echo", "--quiet", "--disable-client-cert", "--priority", priority,
				"--x509certfile", rsaCert, "--x509keyfile", rsaKey, "--x509certfile", ecCert, "--x509keyfile", ecKey}
		})
	}
	for _, c := range []struct {
		priority string
		oldest   uint16
		faults   []string
	}{
		{"NORMAL", tlswire.TLS10, []string{"renegotiation-dos"}},
		{"NORMAL:-VERS-ALL:+VERS-TLS1.2:+3DES-CBC:+ARCFOUR-128:+ANON-ECDH:+NULL", tlswire.TLS12, []string{"renegotiation-dos", "sweet32", "rc4", "anonymous", "null"}},
	} {
		r, err := start(c.priority).Scan(t.Context())
		check(t, err)
		nothingBut(t, r, c.faults...)
		newest := tlswire.TLS13
		if strings.Contains(c.priority, "-VERS-ALL") {
			newest = tlswire.TLS12
		}
		for _, v := range r.Versions {
			if v.Supported != (v.Version >= c.oldest && v.Version <= newest) {
				t.Errorf("%s: %s: %v", c.priority, tlswire.VersionName(v.Version), v.Answer)
			}
		}
		for _, l := range r.Suites {
			want := gnutlsCiphers(t, c.priority, l.Version)
			got := slices.Clone(l.IDs)
			slices.Sort(got)
			if !slices.Equal(got, want) || !l.Complete {
				t.Errorf("%s: %s:\n%04x, want\n%04x", c.priority, tlswire.VersionName(l.Version), got, want)
			}
		}
		if len(r.DHE) != 1 || r.DHE[0].Name != "RFC 7919 ffdhe2048" {
			t.Errorf("%s: DHE %+v", c.priority, r.DHE)
		}
		if x := r.Resumption; x.Ticket == nil || !x.ByTicket || !x.ByID || x.By13 != (newest == tlswire.TLS13) {
			t.Errorf("%s: resumption %+v", c.priority, x)
		}
		if r.Tolerance.All.Outcome != tlsprobe.Accepted || r.Tolerance.Records.Outcome != tlsprobe.Accepted {
			t.Errorf("%s: tolerance %v %v", c.priority, r.Tolerance.All, r.Tolerance.Records)
		}
	}
}

// gnutlsCiphers lists, in ascending order, the suites of a priority string that
// can be used in version.
func gnutlsCiphers(t testing.TB, priority string, version uint16) (ids []uint16) {
	t.Helper()
	out, err := exec.Command("gnutls-cli", "--list", "--priority", priority).Output()
	check(t, err)
	minimum := map[string]uint16{"SSL3.0": tlswire.SSL3, "TLS1.0": tlswire.TLS10, "TLS1.2": tlswire.TLS12, "TLS1.3": tlswire.TLS13}
	for _, m := range regexp.MustCompile(`0x(..), 0x(..)\s+(\S+)`).FindAllStringSubmatch(string(out), -1) {
		from, known := minimum[m[3]]
		if !known {
			t.Fatalf("what is %q?", m[3])
		}
		if (from == tlswire.TLS13) != (version == tlswire.TLS13) || version < from {
			continue
		}
		var id uint16
		fmt.Sscanf(m[1]+m[2], "%x", &id)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
