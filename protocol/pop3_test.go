package protocol

import (
	"slices"
	"testing"

	"example.org/starttls"
)

func TestPOP3Client(t *testing.T) {
	const greeting, capa, offered, request = "<+OK Dovecot\r\n", ">CAPA\r\n", "<+OK\r\nSTLS\r\nUSER\r\nSASL plain login\r\nIMPLEMENTATION Courier 5\r\n.\r\n", ">STLS\r\n"
	const caps = "STLS USER SASL plain login IMPLEMENTATION Courier 5"
	testClient(t, POP3, []clientCase{
		{"offered", starttls.IfOffered, []string{greeting, capa, offered, request, "<+OK go\r\n"}, "ok", caps,
			func(h starttls.Hello) bool {
				return h.Offered && h.Software == "Courier 5" && slices.Equal(h.Auth, []string{"USER", "PLAIN", "LOGIN"})
			}},
		{"masked", starttls.IfOffered, []string{greeting, capa, "<+OK\r\nXXXX\r\n.\r\n"}, "not offered", "XXXX", nil},
		{"a word that begins alike", starttls.IfOffered, []string{greeting, capa, "<+OK\r\nSTLSX\r\n.\r\n"}, "not offered", "STLSX", nil},
		{"no CAPA", starttls.IfOffered, []string{greeting, capa, "<-ERR what?\r\n"}, "not offered", "", nil},
		{"no CAPA, blind", starttls.Always, []string{greeting, capa, "<-ERR what?\r\n", request, "<+OK\r\n"}, "ok", "", nil},
		{"refused", starttls.IfOffered, []string{greeting, capa, offered, request, "<-ERR no\r\n"}, "refused", caps, nil},
		{"not now", starttls.IfOffered, []string{greeting, capa, offered, request, "<-ERR [SYS/TEMP] no\r\n"}, "refused for now", caps, nil},
		{"not a whole word", starttls.IfOffered, []string{greeting, capa, offered, request, "<+OKAY\r\n"}, "reply", caps, nil},
		{"not a server", starttls.IfOffered, []string{"<* OK imap\r\n"}, "reply", "", nil},
		{"closing", starttls.IfOffered, []string{"<-ERR [IN-USE] busy\r\n"}, "refused for now", "", nil},
		{"no TLS wanted", starttls.NoAsk, []string{greeting}, "ok", "", nil},
		{"gone", starttls.IfOffered, []string{greeting, capa, "<+OK\r\nSTLS\r\n"}, "end of file", "STLS", nil},
	})
}

func TestPOP3Server(t *testing.T) {
	const greeting, inClear = ">+OK s.test ready\r\n", ">-ERR say STLS first: nothing is accepted in clear\r\n"
	testServer(t, POP3, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<CAPA\r\n", ">+OK\r\nUIDL\r\nSTLS\r\n.\r\n", "<stls\r\n", ">+OK begin TLS\r\n"}, "ok", true},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<USER u\r\n", inClear, "<PASS p\r\n", inClear, "<APOP u x\r\n", inClear, "<AUTH PLAIN\r\n", inClear, "<XXXX\r\n", ">-ERR unknown command\r\n",
			"<STLS now\r\n", ">-ERR STLS takes no argument\r\n", "<QUIT\r\n", ">+OK bye\r\n"}, "not upgraded", false},
		{"declined", starttls.Offer{Mode: starttls.Decline}, starttls.Hello{}, []string{greeting, "<STLS\r\n", ">-ERR [SYS/TEMP] TLS is not available now\r\n", "<USER u\r\n", inClear}, "end of file", false},
		{"hidden", starttls.Offer{Mode: starttls.Hide}, starttls.Hello{}, []string{greeting, "<STLS\r\n", ">-ERR unknown command\r\n", "<USER u\r\n"}, "ok", false},
		{"other words", starttls.Offer{Keyword: "XTLS", Reply: []byte("-ERR no")}, starttls.Hello{Caps: []string{"TOP", "USER", "SASL PLAIN"}}, []string{greeting, "<CAPA\r\n", ">+OK\r\nTOP\r\nXTLS\r\n.\r\n", "<STLS\r\n", ">-ERR no\r\n"}, "ok", true},
		{"a browser", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<GET / HTTP/1.1\r\n", ">-ERR this is a mail server\r\n"}, "reply", false},
	})
}

func TestPOP3Serve(t *testing.T) {
	leaks, ended := session(t, POP3, starttls.Hello{}, true, "<CAPA\r\n", ">+OK\r\nUIDL\r\nUSER\r\nSASL PLAIN\r\n.\r\n", "<USER u\r\n", ">+OK\r\n", "<PASS a b\r\n", ">+OK signed in\r\n",
		"<AUTH PLAIN\r\n", ">+ \r\n", "<AHUAcA==\r\n", ">+OK signed in\r\n", "<STAT\r\n", ">+OK 0 0\r\n", "<STLS\r\n", ">-ERR unknown command\r\n", "<QUIT\r\n", ">+OK bye\r\n")
	if ended != "ok" || len(leaks) != 3 || leaks[0].What != "metadata" || string(leaks[1].Secret) != "a b" || string(leaks[2].Secret) != "p" {
		t.Errorf("ends with %q, leaks %+v", ended, leaks)
	}
}

func FuzzPOP3(f *testing.F) {
	for _, s := range []string{"+OK a\r\n+OK\r\nSTLS\r\n.\r\n+OK go\r\n", "+OK\r\n-ERR\r\n", "-ERR a\r\n", "CAPA\r\nSTLS\r\n", "USER u\r\nPASS p\r\nQUIT\r\n", "AUTH PLAIN AHUAcA==\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, POP3, data) })
}
