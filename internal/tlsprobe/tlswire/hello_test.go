package tlswire

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"reflect"
	"slices"
	"testing"
)

// A hello of ours, as crypto/tls reads it.
func TestHelloAsOthersReadIt(t *testing.T) {
	share, err := NewKeyShare(X25519)
	if err != nil {
		t.Fatal(err)
	}
	h := &ClientHello{Version: TLS12, Random: Random(), SessionID: []byte("id"), Suites: []uint16{0xc02f, 0x1301}}
	h.Extensions = Extensions{ServerName("mail.example.test"), Protocols("imap", "smtp"), Groups([]uint16{X25519, P256}),
		PointFormats(), Schemes([]uint16{PSSSHA256, ECDSAP256}), SupportedVersions(TLS13, TLS12), KeyShares(share),
		StatusRequest(), Ticket(nil), RenegotiationInfo(nil), Heartbeat(), Padding(100), Empty(ExtSCT)}
	raw, err := h.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	defer client.Close()
	go client.Write(Cut(HandshakeRecord, TLS10, raw, 0)[0].Append(nil))
	go io.Copy(io.Discard, client) // its alert
	var got *tls.ClientHelloInfo
	tls.Server(server, &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		got = i
		return nil, io.EOF
	}}).Handshake()
	server.Close()
	if got == nil {
		t.Fatal("crypto/tls did not read the hello")
	}
	var types []uint16
	for _, x := range h.Extensions {
		types = append(types, x.Type)
	}
	for _, c := range []struct{ what, got, want any }{
		{"name", got.ServerName, "mail.example.test"},
		{"protocols", got.SupportedProtos, []string{"imap", "smtp"}},
		{"suites", got.CipherSuites, h.Suites},
		{"groups", got.SupportedCurves, []tls.CurveID{tls.X25519, tls.CurveP256}},
		{"point formats", got.SupportedPoints, []uint8{0}},
		{"schemes", got.SignatureSchemes, []tls.SignatureScheme{tls.PSSWithSHA256, tls.ECDSAWithP256AndSHA256}},
		{"versions", got.SupportedVersions, []uint16{TLS13, TLS12}},
		{"extensions", got.Extensions, types},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

// The other way round: a hello of crypto/tls, as we read it, and written again.
func TestReadOthersHello(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go tls.Client(client, &tls.Config{ServerName: "mail.example.test", NextProtos: []string{"imap"}, MinVersion: tls.VersionTLS12}).Handshake()
	m, err := NewConn(server).ReadMessage()
	server.Close()
	if err != nil || m.Type != ClientHelloMessage {
		t.Fatal(m.Type, err)
	}
	h, err := ParseClientHello(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := h.Marshal(); err != nil || !bytes.Equal(raw, m.Raw) {
		t.Errorf("written again it differs:\n%x\n%x", raw, m.Raw)
	}
	sni, _ := h.Extensions.Get(ExtServerName)
	if name, err := ParseServerName(sni); name != "mail.example.test" {
		t.Error(name, err)
	}
	alpn, _ := h.Extensions.Get(ExtALPN)
	if names, err := ParseProtocols(alpn); !slices.Equal(names, []string{"imap"}) {
		t.Error(names, err)
	}
	groups, _ := h.Extensions.Get(ExtGroups)
	if ids, err := ParseNumbers(groups); !slices.Contains(ids, X25519MLKEM768) {
		t.Error(ids, err)
	}
}

func TestHelloThatDoesNotFit(t *testing.T) {
	for name, h := range map[string]*ClientHello{
		"session ID": {SessionID: make([]byte, 256)},
		"suites":     {Suites: make([]uint16, 1<<15)},
		"extension":  {Extensions: Extensions{{Type: 1, Data: make([]byte, 1<<16)}}},
	} {
		if _, err := h.Marshal(); err == nil {
			t.Errorf("a %s that is too long was written", name)
		}
	}
}

func TestServerHello(t *testing.T) {
	share := func(b ...byte) Extension { return Extension{ExtKeyShare, b} }
	for _, c := range []struct {
		name    string
		hello   ServerHello
		version uint16
		group   uint16
		public  []byte
	}{
		{"TLS 1.2", ServerHello{Legacy: TLS12, Suite: 0xc02f}, TLS12, 0, nil},
		{"SSL 3.0 with compression", ServerHello{Legacy: SSL3, SessionID: []byte("id"), Compression: Deflate}, SSL3, 0, nil},
		{"TLS 1.3", ServerHello{Legacy: TLS12, Extensions: Extensions{{ExtVersions, []byte{3, 4}}, share(0, 29, 0, 2, 7, 8)}}, TLS13, X25519, []byte{7, 8}},
		{"retry", ServerHello{Legacy: TLS12, Random: retryRandom, Extensions: Extensions{{ExtVersions, []byte{3, 4}}, share(0, 23)}}, TLS13, P256, nil},
	} {
		raw := c.hello.Marshal()
		h, err := ParseServerHello(raw[4:])
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		group, public, _ := h.KeyShare()
		if h.Version() != c.version || group != c.group || !bytes.Equal(public, c.public) || h.Suite != c.hello.Suite ||
			h.Compression != c.hello.Compression || h.Retry() != (c.name == "retry") {
			t.Errorf("%s: read as %+v", c.name, h)
		}
		if !bytes.Equal(h.Marshal(), raw) {
			t.Errorf("%s: written again it differs", c.name)
		}
	}
}

func TestExtensions(t *testing.T) {
	e := Extensions{Empty(1), Empty(2)}
	changed := e.With(Extension{2, []byte("x")}).With(Empty(3)).Without(1)
	if want := (Extensions{{2, []byte("x")}, {Type: 3}}); !reflect.DeepEqual(changed, want) {
		t.Errorf("%v, want %v", changed, want)
	}
	if !reflect.DeepEqual(e, Extensions{Empty(1), Empty(2)}) {
		t.Errorf("the original changed: %v", e)
	}
}

func TestSSL2(t *testing.T) {
	h := &SSL2Hello{Version: SSL2, Ciphers: SSL2Ciphers, SessionID: []byte{}, Challenge: []byte("0123456789abcdef")}
	s := &SSL2ServerHello{Version: SSL2, Certificate: []byte("cert"), Ciphers: SSL2Ciphers[:2], ConnectionID: []byte("0123456789abcdef")}
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		c := NewConn(server)
		body, err := c.ReadSSL2()
		if got, e := ParseSSL2Hello(body); err != nil || e != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%+v, %v, %v", got, err, e)
		}
		c.Write(s.Marshal())
		server.Close()
	}()
	c := NewConn(client)
	if err := c.Write(h.Marshal()); err != nil {
		t.Fatal(err)
	}
	body, err := c.ReadSSL2()
	if got, e := ParseSSL2ServerHello(body); err != nil || e != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v, %v, %v", got, err, e)
	}
}
