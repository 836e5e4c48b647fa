package tlsprobe_test

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"

	"example.org/starttls/internal/tlsprobe"
	"example.org/starttls/internal/tlsprobe/tlswire"
)

// crypto/tls as the server, with all it has.
func TestStd(t *testing.T) {
	ec, err := theCA().Issue(nil, name)
	check(t, err)
	ec.OCSPStaple, ec.SignedCertificateTimestamps = []byte("staple"), [][]byte{[]byte("one"), []byte("two")}
	rsa := certificate()
	rsa.OCSPStaple, rsa.SignedCertificateTimestamps = ec.OCSPStaple, ec.SignedCertificateTimestamps
	var suites []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	groups := []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	s := std(t, &tls.Config{Certificates: []tls.Certificate{ec, rsa}, MinVersion: tls.VersionTLS10, CipherSuites: suites,
		NextProtos: []string{"imap"}, CurvePreferences: groups, ClientAuth: tls.RequestClientCert})
	s.ALPN = []string{"imap"}
	r, err := s.Scan(t.Context())
	check(t, err)

	for _, v := range r.Versions {
		if v.Supported != (v.Version >= tlswire.TLS10) {
			t.Errorf("%s: %v", tlswire.VersionName(v.Version), v.Answer)
		}
		if !v.Supported {
			continue
		}
		a := v.Answer
		if a.ALPN != "imap" || !bytes.Equal(a.Chain[0], ec.Certificate[0]) || string(a.Staple) != "staple" || len(a.SCTs) != 2 || a.Asked == nil || !a.Whole || a.Err != nil {
			t.Errorf("%s: %+v", tlswire.VersionName(v.Version), a)
		}
	}
	for _, l := range r.Suites {
		var want []uint16
		for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if slices.Contains(s.SupportedVersions, l.Version) {
				want = append(want, s.ID)
			}
		}
		got := slices.Clone(l.IDs)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || !l.Complete || l.Order != tlsprobe.ServerOrder {
			t.Errorf("%s: %04x, want %04x, %v", tlswire.VersionName(l.Version), got, want, l.Order)
		}
	}
	for _, g := range groups {
		if !r.Groups.TLS13.Has(uint16(g)) {
			t.Errorf("no group %v", g)
		}
	}
	if len(r.Groups.TLS13.IDs) != len(groups) || len(r.Groups.Before.IDs) != 0 {
		t.Errorf("groups %+v", r.Groups)
	}
	if !r.Schemes.TLS13.Has(tlswire.ECDSAP256) || !r.Schemes.TLS13.Has(tlswire.PSSSHA256) || !r.Schemes.Before.Has(tlswire.PKCS1SHA256) {
		t.Errorf("schemes %+v", r.Schemes)
	}
	if r.Certificates.RSA == nil || r.Certificates.EC == nil || !bytes.Equal(r.Certificates.RSA.Chain[0], rsa.Certificate[0]) {
		t.Errorf("certificates %+v", r.Certificates)
	}
	if r.ALPN.Right.ALPN != "imap" || r.ALPN.Wrong.Alert == nil || r.ALPN.Wrong.Alert.Code != tlswire.NoApplicationProtocol || r.ALPN.None.ALPN != "" {
		t.Errorf("ALPN %v %v %v", r.ALPN.Right, r.ALPN.Wrong, r.ALPN.None)
	}
	if x := r.Resumption; x.Ticket == nil || !x.ByTicket || len(x.Tickets13) == 0 || !x.By13 || x.ByID {
		t.Errorf("resumption %+v", x)
	}
	if r.Tolerance.All.Outcome != tlsprobe.Accepted || r.Tolerance.Records.Outcome != tlsprobe.Accepted {
		t.Errorf("tolerance %+v", r.Tolerance)
	}
	for _, f := range r.Findings {
		bad := f.ID == "rc4" || f.ID == "sweet32"
		if f.Verdict == tlsprobe.Inconclusive || (f.Verdict == tlsprobe.Vulnerable) != bad {
			t.Errorf("%s: %v, %s", f.ID, f.Verdict, f.Detail)
		}
	}
}

// Each group for which a share can be made is agreed on, so the keys are right:
// what comes after ServerHello could be read. And if the server would have
// another one than was offered, the hello is sent again.
func TestStdGroups(t *testing.T) {
	for _, g := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024} {
		s := std(t, &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{g}})
		a := version(t, s, tlswire.TLS13).Answer
		if !a.Whole || a.Group != uint16(g) || a.Retried != (g != tls.X25519 && g != tls.CurveP256) || len(a.Chain) == 0 {
			t.Errorf("%v: %v, %s, retried %v, %v", g, a, tlswire.GroupName(a.Group), a.Retried, a.Err)
		}
	}
}

// Every way of finishing a handshake that crypto/tls has on its side.
func TestStdFinish(t *testing.T) {
	for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		for _, suite := range []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
			tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256} {
			if !tlswire.SuiteByID(suite).In(v) {
				continue
			}
			s := std(t, &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: v, MaxVersion: v, CipherSuites: []uint16{suite},
				ClientAuth: tls.RequestClientCert})
			r, err := s.Resumption(t.Context())
			check(t, err)
			if r.Ticket == nil || !r.ByTicket {
				t.Errorf("%s in %s: %+v", tlswire.SuiteByID(suite).Name, tlswire.VersionName(v), r)
			}
		}
	}
}
