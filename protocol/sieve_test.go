package protocol

import (
	"testing"

	"example.org/starttls"
)

func TestSieveClient(t *testing.T) {
	const offered, request = "<\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n\"SASL\" \"\"\r\n\"starttls\"\r\nOK \"ready\"\r\n", ">STARTTLS\r\n"
	const caps = `"IMPLEMENTATION" "Dovecot Pigeonhole" "SASL" "" "starttls"`
	testClient(t, Sieve, []clientCase{
		{"offered", starttls.IfOffered, []string{offered, request, "<OK \"go\"\r\n"}, "ok", caps,
			func(h starttls.Hello) bool { return h.Offered && h.Software == "Dovecot Pigeonhole" && h.Auth == nil }},
		{"not offered", starttls.IfOffered, []string{"<\"SASL\" \"PLAIN\"\r\nOK\r\n"}, "not offered", `"SASL" "PLAIN"`, nil},
		{"a value is no name", starttls.IfOffered, []string{"<\"IMPLEMENTATION\" \"STARTTLS\"\r\nOK\r\n"}, "not offered", `"IMPLEMENTATION" "STARTTLS"`, nil},
		{"hidden, and yet had", starttls.Always, []string{"<OK\r\n", request, "<ok\r\n"}, "ok", "", nil},
		{"refused", starttls.IfOffered, []string{offered, request, "<NO \"no\"\r\n"}, "refused", caps, nil},
		{"not now", starttls.IfOffered, []string{offered, request, "<NO (TRYLATER) \"no\"\r\n"}, "refused for now", caps, nil},
		{"not a whole word", starttls.IfOffered, []string{offered, request, "<OKAY\r\n"}, "reply", caps, nil},
		{"closing", starttls.IfOffered, []string{"<BYE \"busy\"\r\n"}, "refused", "", nil},
		{"not a server", starttls.IfOffered, []string{"<220 smtp\r\n"}, "reply", "", nil},
		{"no TLS wanted", starttls.NoAsk, []string{offered}, "ok", caps, nil},
		{"gone", starttls.IfOffered, []string{"<\"SASL\" \"\"\r\n\"STARTTLS\"\r\n"}, "end of file", `"SASL" "" "STARTTLS"`, nil},
	})
}

func TestSieveServer(t *testing.T) {
	const greeting = ">\"IMPLEMENTATION\" \"s.test\"\r\n\"VERSION\" \"1.0\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"\"\r\n\"STARTTLS\"\r\nOK \"ready\"\r\n"
	const inClear = ">NO (ENCRYPT-NEEDED) \"say STARTTLS first: nothing is accepted in clear\"\r\n"
	const hidden = ">\"IMPLEMENTATION\" \"s.test\"\r\n\"VERSION\" \"1.0\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\nOK \"ready\"\r\n"
	testServer(t, Sieve, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<CAPABILITY\r\n", greeting, "<starttls\r\n", ">OK \"begin TLS\"\r\n"}, "ok", true},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<AUTHENTICATE \"PLAIN\" {4+}\r\nAAAA\r\n", inClear, "<LISTSCRIPTS\r\n", inClear, "<XXXX\r\n", ">NO \"unknown command\"\r\n",
			"<NOOP \"a\"\r\n", ">OK (TAG \"a\") \"done\"\r\n", "<LOGOUT\r\n", ">OK\r\n"}, "not upgraded", false},
		{"a literal is no command", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<X {10+}\r\nSTARTTLS\r\n\r\n", ">NO \"unknown command\"\r\n"}, "end of file", false},
		{"declined", starttls.Offer{Mode: starttls.Decline}, starttls.Hello{}, []string{greeting, "<STARTTLS\r\n", ">NO (TRYLATER) \"TLS is not available now\"\r\n"}, "end of file", false},
		{"hidden", starttls.Offer{Mode: starttls.Hide}, starttls.Hello{}, []string{hidden, "<STARTTLS\r\n", ">NO \"unknown command\"\r\n", "<AUTHENTICATE \"PLAIN\"\r\n"}, "ok", false},
		{"a browser", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<GET / HTTP/1.1\r\n", ">BYE \"this is no web server\"\r\n"}, "reply", false},
	})
}

func TestSieveServe(t *testing.T) {
	leaks, ended := session(t, Sieve, starttls.Hello{}, true, "<AUTHENTICATE \"PLAIN\" {8+}\r\nAHUAcA==\r\n", ">OK\r\n", "<AUTHENTICATE \"PLAIN\"\r\n", ">\"\"\r\n", "<\"AHUAcA==\"\r\n", ">OK\r\n",
		"<STARTTLS\r\n", ">NO \"unknown command\"\r\n", "<LOGOUT\r\n", ">OK\r\n")
	if ended != "ok" || len(leaks) != 2 || leaks[0].User != "u" || string(leaks[1].Secret) != "p" {
		t.Errorf("ends with %q, leaks %+v", ended, leaks)
	}
}

func FuzzSieve(f *testing.F) {
	for _, s := range []string{"\"STARTTLS\"\r\nOK\r\nOK\r\n", "\"A\" {3}\r\nabc\r\nNO\r\n", "CAPABILITY\r\nSTARTTLS\r\n", "AUTHENTICATE \"PLAIN\" {8+}\r\nAHUAcA==\r\nLOGOUT\r\n", "NOOP \"a\"\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, Sieve, data) })
}
