package protocol

import (
	"context"
	"net"
	"strings"
	"testing"

	"example.org/starttls"
)

// mySplicing is a session whose sides came to TLS by an SSLRequest, or did not.
func mySplicing(t testing.TB, client, backend bool) *starttls.Splice {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	wire := func(nc net.Conn, side starttls.Side, tls bool) *starttls.Wire {
		return starttls.NewWire(context.Background(), nc, starttls.WireConfig{Side: side, TLS: tls, Upgraded: tls})
	}
	return &starttls.Splice{Client: wire(a, starttls.ServerSide, client), Backend: wire(b, starttls.ClientSide, backend)}
}

// myAnswer is a client's packet in answer to the greeting, or to a question of
// the plugin's.
func myAnswer(seq byte, flags uint32) string {
	return string(myPacket(seq, append(myHandshake(flags), "me\x00\x00plugin\x00"...)))
}

// The numbers of a sign-in's packets, and the flag for TLS in the client's answer,
// are what each side expects; afterwards nothing is touched.
func TestSpliceMySQL(t *testing.T) {
	packet := func(seq byte, body string) string { return string(myPacket(seq, []byte(body))) }
	query := packet(0, "\x03select 1")
	row := packet(1, "\x01") + packet(2, "\x00ok")
	for name, x := range map[string]struct {
		client, backend bool
		steps           []step
	}{
		"TLS, clear": {true, false, []step{
			c(myAnswer(2, mySSL), myAnswer(1, 0)), s(packet(2, "\xfeplugin\x00x"), packet(3, "\xfeplugin\x00x")),
			c(packet(4, "secret"), packet(3, "secret")), s(packet(4, "\x00"), packet(5, "\x00")), c(query, "="), s(row, "="),
		}},
		"clear, TLS": {false, true, []step{
			c(myAnswer(1, 0), myAnswer(2, mySSL)), s(packet(3, "\xfeplugin\x00x"), packet(2, "\xfeplugin\x00x")),
			c(packet(3, "secret"), packet(4, "secret")), s(packet(5, "\x00"), packet(4, "\x00")), c(query, "="), s(row, "="),
		}},
		"clear, TLS, refused": {false, true, []step{
			c(myAnswer(1, 0), myAnswer(2, mySSL)), s(packet(3, "\xff\x15\x04no"), packet(2, "\xff\x15\x04no")),
		}},
		"TLS, TLS":     {true, true, []step{c(myAnswer(2, mySSL), "="), s(packet(3, "\x00"), "="), c(query, "="), s(row, "=")}},
		"clear, clear": {false, false, []step{c(myAnswer(1, 0), "="), s(packet(2, "\x00"), "="), c(query, "="), s(row, "=")}},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 20 {
				if err := play(t, MySQL, mySplicing(t, x.client, x.backend), x.steps, round); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
		})
	}
}

// The gateway's request has the client's own capabilities, and leaves what the
// client said unread.
func TestMySQLRequest(t *testing.T) {
	const capability = 1 << 5 // CLIENT_COMPRESS, which ours never asks for
	for name, x := range map[string]struct {
		said, request string
		apology       byte // its number
	}{
		"in clear":      {myAnswer(1, capability), string(myPacket(1, myHandshake(capability|mySSL))), 2},
		"inside TLS":    {myAnswer(2, capability|mySSL), string(myPacket(1, myHandshake(capability|mySSL))), 3},
		"asks for TLS":  {string(myPacket(1, myHandshake(mySSL))), "", 2},
		"of before 4.1": {string(myPacket(1, append(make([]byte, 40), "me\x00"...))), "", 2},
		"empty":         {string(myPacket(1, nil)), "", 2},
	} {
		a, b := net.Pipe()
		go a.Write([]byte(x.said))
		w := starttls.NewWire(t.Context(), b, starttls.WireConfig{Side: starttls.ServerSide})
		request, apology, err := MySQL.Request(w)
		if string(request) != x.request || (err == nil) != (x.request != "") {
			t.Errorf("%s: %q, %v", name, request, err)
		}
		if len(apology) < 5 || apology[3] != x.apology || apology[4] != 0xff {
			t.Errorf("%s: the apology is %q", name, apology)
		}
		if err == nil && string(w.Ahead()) != x.said {
			t.Errorf("%s: %q is left", name, w.Ahead())
		}
		w.Release()
		a.Close()
		b.Close()
	}
}

// What a client of before protocol 4.1 says holds its answer to the challenge, and
// is shown in no error.
func TestMySQLRequestIsNotShown(t *testing.T) {
	const secret = "hunter2secret"
	said := "\x40\x00\x00\x01" + "\x01\x00\x00\x00\x00" + "me\x00" + secret + strings.Repeat("x", 64)
	w := wireTo(scripted([]byte(said)), starttls.ServerSide)
	defer w.Release()
	_, apology, err := mysql{}.Request(w)
	if err == nil || len(apology) == 0 {
		t.Fatalf("%v, %q", err, apology)
	}
	if strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}
