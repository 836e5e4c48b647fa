package tlswire

import (
	"crypto/tls"
	"slices"
	"testing"
)

// Our table against that of crypto/tls.
func TestSuitesAgainstStd(t *testing.T) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ours := SuiteByID(s.ID)
		if ours.Name != s.Name {
			t.Errorf("%04x is %s, in crypto/tls %s", s.ID, ours.Name, s.Name)
		}
		for _, v := range []uint16{TLS10, TLS11, TLS12, TLS13} {
			if ours.In(v) != slices.Contains(s.SupportedVersions, v) {
				t.Errorf("%s in %s: %v", s.Name, VersionName(v), ours.In(v))
			}
		}
	}
}

func TestTraits(t *testing.T) {
	for _, c := range []struct {
		id       uint16
		want     Traits
		exchange Exchange
	}{
		{0x0001, Null, NoExchange},                                  // RSA_WITH_NULL_MD5
		{0x0003, Export | RC4, ExportRSA},                           // RSA_EXPORT_WITH_RC4_40_MD5
		{0x0006, Export | RC2 | CBC | Block64, ExportRSA},           // RSA_EXPORT_WITH_RC2_CBC_40_MD5
		{0x0007, CBC | Block64, NoExchange},                         // RSA_WITH_IDEA_CBC_SHA
		{0x0009, DES | CBC | Block64, NoExchange},                   // RSA_WITH_DES_CBC_SHA
		{0x000a, TripleDES | CBC | Block64, NoExchange},             // RSA_WITH_3DES_EDE_CBC_SHA
		{0x0014, Export | DES | CBC | Block64 | ForwardSecret, DHE}, // DHE_RSA_EXPORT_WITH_DES40_CBC_SHA
		{0x0017, Export | RC4 | Anonymous, DHE},                     // DH_anon_EXPORT_WITH_RC4_40_MD5
		{0x0026, Export | DES | CBC | Block64 | PSK, OtherExchange}, // KRB5_EXPORT_WITH_DES_CBC_40_SHA
		{0x002f, CBC, NoExchange},                                   // RSA_WITH_AES_128_CBC_SHA
		{0x0030, CBC, NoExchange},                                   // DH_DSS_WITH_AES_128_CBC_SHA
		{0x0062, Export | DES | CBC | Block64, ExportRSA},           // RSA_EXPORT1024_WITH_DES_CBC_SHA
		{0x009e, AEAD | ForwardSecret, DHE},                         // DHE_RSA_WITH_AES_128_GCM_SHA256
		{0x00a8, AEAD | PSK, OtherExchange},                         // PSK_WITH_AES_128_GCM_SHA256
		{0x00ac, AEAD | PSK, OtherExchange},                         // RSA_PSK_WITH_AES_128_GCM_SHA256
		{0x1301, AEAD | ForwardSecret, OtherExchange},               // AES_128_GCM_SHA256
		{0xc004, CBC, NoExchange},                                   // ECDH_ECDSA_WITH_AES_128_CBC_SHA
		{0xc010, Null | ForwardSecret, ECDHE},                       // ECDHE_RSA_WITH_NULL_SHA
		{0xc015, Null | Anonymous, ECDHE},                           // ECDH_anon_WITH_NULL_SHA
		{0xc02f, AEAD | ForwardSecret, ECDHE},                       // ECDHE_RSA_WITH_AES_128_GCM_SHA256
		{0xc037, CBC | PSK | ForwardSecret, ECDHE},                  // ECDHE_PSK_WITH_AES_128_CBC_SHA256
		{0xc0b4, Null | ForwardSecret, OtherExchange},               // SHA256_SHA256
		{0xcca8, AEAD | ForwardSecret, ECDHE},                       // ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
		{0xfeff, TripleDES | CBC | Block64, NoExchange},             // SSL_RSA_FIPS_WITH_3DES_EDE_CBC_SHA
		{0xeeee, 0, OtherExchange},                                  // not known
	} {
		if s := SuiteByID(c.id); s.Traits != c.want || s.Exchange != c.exchange {
			t.Errorf("%s: traits %b, want %b; exchange %d, want %d", s.Name, s.Traits, c.want, s.Exchange, c.exchange)
		}
	}
}

func TestSuitesInOrder(t *testing.T) {
	for _, v := range []uint16{SSL3, TLS10, TLS11, TLS12, TLS13} {
		ids := Suites(v)
		if len(ids) < 5 {
			t.Fatalf("%s: only %d suites", VersionName(v), len(ids))
		}
		if first := SuiteByID(ids[0]); !first.Is(ForwardSecret) || first.Is(Null|Anonymous|Export|RC4|Block64) {
			t.Errorf("%s: the best is %s", VersionName(v), first.Name)
		}
		if last := SuiteByID(ids[len(ids)-1]); !last.Is(Null) {
			t.Errorf("%s: the worst is %s", VersionName(v), last.Name)
		}
	}
	if Suites(TLS12)[0] != 0xc02b {
		t.Errorf("the best of TLS 1.2 is %s", SuiteByID(Suites(TLS12)[0]).Name)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{VersionName(SSL2), "SSL 2.0"}, {VersionName(SSL3), "SSL 3.0"}, {VersionName(TLS10), "TLS 1.0"}, {VersionName(TLS13), "TLS 1.3"},
		{VersionName(0x0305), "0x0305"},
		{GroupName(X25519MLKEM768), "X25519MLKEM768"}, {GroupName(P256), "secp256r1"}, {GroupName(0x1a1a), "0x1a1a"},
		{SchemeName(PSSSHA256), "rsa_pss_rsae_sha256"}, {SchemeName(0x1a1a), "0x1a1a"},
		{SuiteByID(0x1a1a).Name, "0x1a1a"},
		{SSL2Cipher(0x010080).String(), "SSL_CK_RC4_128_WITH_MD5"}, {SSL2Cipher(0x123456).String(), "SSL 2.0 cipher kind 0x1234,0x0056"},
		{Alert{Fatal, HandshakeFailure}.Error(), "fatal alert handshake_failure"}, {Alert{9, 200}.Error(), "9 alert 200"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	for _, v := range []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024} {
		if GroupName(uint16(v)) != v.String() {
			t.Errorf("%d is %s, in crypto/tls %s", v, GroupName(uint16(v)), v)
		}
	}
}
