package protocol

import (
	"bytes"
	"testing"

	"example.org/starttls"
)

// myHello is a greeting with and without TLS; its scramble is fixed.
func myHello(software string, tls bool) string {
	g := newMyGreeting(starttls.Hello{Software: software})
	_, rest, _ := bytes.Cut(g[5:], []byte{0})
	copy(rest[4:], "AAAAAAAA")
	copy(rest[len(rest)-len(myNative)-14:], "AAAAAAAAAAAA")
	return string(mySetSSL(g, tls))
}

func TestMySQLClient(t *testing.T) {
	request := ">" + string(myPacket(1, myHandshake(mySSL)))
	testClient(t, MySQL, []clientCase{
		{"offered", starttls.IfOffered, []string{"<" + myHello("8.4.0", true), request}, "ok", "SSL",
			func(h starttls.Hello) bool { return h.Offered && h.Software == "8.4.0" && h.Auth[0] == myNative }},
		{"MariaDB", starttls.IfOffered, []string{"<" + myHello("5.5.5-10.11.6-MariaDB", true), request}, "ok", "SSL",
			func(h starttls.Hello) bool { return h.Software == "10.11.6-MariaDB" }},
		{"not offered", starttls.IfOffered, []string{"<" + myHello("8.4.0", false)}, "not offered", "", nil},
		{"hidden, and yet asked", starttls.Always, []string{"<" + myHello("8.4.0", false), request}, "ok", "", nil},
		{"no TLS wanted", starttls.NoAsk, []string{"<" + myHello("8.4.0", true)}, "ok", "SSL", nil},
		{"full", starttls.IfOffered, []string{"<" + string(myError(0, 1040, "Too many connections"))}, "refused for now", "", nil},
		{"not from here", starttls.IfOffered, []string{"<" + string(myError(0, 1130, "Host is not allowed"))}, "refused", "", nil},
		{"an older protocol", starttls.IfOffered, []string{"<\x03\x00\x00\x00\x09x\x00"}, "reply", "", nil},
		{"not a server", starttls.IfOffered, []string{"<* OK imap ready and so on\r\n"}, "limit", "", nil},
		{"gone", starttls.IfOffered, []string{"<\x20\x00\x00\x00\x0a"}, "end of file", "", nil},
	})
}

func TestMySQLServer(t *testing.T) {
	given := func(tls bool) starttls.Hello { return starttls.Hello{Greeting: []byte(myHello("8.4.0", !tls))} } // whatever it says of TLS is set right
	greeting, hidden := ">"+myHello("8.4.0", true), ">"+myHello("8.4.0", false)
	request, login := "<"+string(myPacket(1, myHandshake(mySSL))), "<"+string(myPacket(1, append(myHandshake(0), "u\x00\x00"...)))
	testServer(t, MySQL, []serverCase{
		{"granted", starttls.Offer{}, given(true), []string{greeting, request}, "ok", true},
		{"nothing in clear", starttls.Offer{}, given(true), []string{greeting, login, ">" + string(myError(2, myErrInsecure, "#HY000TLS is required: nothing is accepted in clear"))}, "not upgraded", false},
		{"declined", starttls.Offer{Mode: starttls.Decline}, given(true), []string{greeting, request, ">" + string(myError(2, myErrBadHello, "#08S01TLS is not available"))}, "not upgraded", false},
		{"hidden", starttls.Offer{Mode: starttls.Hide}, given(false), []string{hidden, login[:9]}, "ok", false},
		{"hidden, and yet asked", starttls.Offer{Mode: starttls.Hide}, given(false), []string{hidden, request, ">" + string(myError(2, myErrBadHello, "#08S01TLS is not available"))}, "not upgraded", false},
		{"optional", starttls.Offer{Mode: starttls.Optional}, given(true), []string{greeting, login[:9]}, "ok", false},
		{"no offer", starttls.Offer{Mode: starttls.NoOffer}, given(false), []string{hidden}, "ok", false},
	})
}

func FuzzMySQL(f *testing.F) {
	for _, s := range []string{myHello("8.4.0", true), myHello("8.4.0", false), string(myError(0, 1040, "Too many")), "\x03\x00\x00\x00\x0ax\x00",
		string(myPacket(1, myHandshake(mySSL))), string(myPacket(1, append(myHandshake(0), "u\x00\x01p"...))) + "\x09\x00\x00\x00\x03select 1" + "\x01\x00\x00\x00\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, MySQL, data) })
}
