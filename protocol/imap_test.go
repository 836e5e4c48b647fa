package protocol

import (
	"slices"
	"testing"

	"example.org/starttls"
)

func TestIMAPClient(t *testing.T) {
	const greeting, ask, request = "<* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Cyrus\r\n", ">c1 CAPABILITY\r\n", ">t1 STARTTLS\r\n"
	const caps = "IMAP4rev1 STARTTLS LOGINDISABLED"
	testClient(t, IMAP, []clientCase{
		{"offered in the greeting", starttls.IfOffered, []string{greeting, request, "<t1 OK go\r\n"}, "ok", caps,
			func(h starttls.Hello) bool { return h.Offered && h.Required && h.Software == "Cyrus" && h.Auth == nil }},
		{"offered when asked", starttls.IfOffered, []string{"<* ok hello\r\n", ask, "<* CAPABILITY IMAP4rev1 StartTLS AUTH=plain\r\nc1 OK done\r\n", request, "<t1 ok go\r\n"}, "ok", "IMAP4rev1 StartTLS AUTH=plain",
			func(h starttls.Hello) bool { return slices.Equal(h.Auth, []string{"PLAIN", "LOGIN"}) }},
		{"literals before it", starttls.IfOffered, []string{"<* OK hello\r\n", ask, "<* X {12}\r\nc1 OK fake\r\n {1}\r\na)\r\n* CAPABILITY STARTTLS\r\nc1 OK done\r\n", request, "<* OK still here\r\nt1 OK go\r\n"}, "ok", "STARTTLS", nil},
		{"a literal without end", starttls.IfOffered, []string{"<* OK hello\r\n", ask, "<* X {99999999}\r\n"}, "limit", "", nil},
		{"signed in already", starttls.IfOffered, []string{"<* PREAUTH [CAPABILITY STARTTLS] hello\r\n"}, "already authenticated", "STARTTLS", nil},
		{"signed in already, blind", starttls.Always, []string{"<* PREAUTH hello\r\n"}, "already authenticated", "", nil},
		{"signed in already, no TLS", starttls.NoAsk, []string{"<* PREAUTH hello\r\n"}, "ok", "", nil},
		{"masked", starttls.IfOffered, []string{"<* OK [CAPABILITY IMAP4rev1 XXXXXXXX] x\r\n"}, "not offered", "IMAP4rev1 XXXXXXXX", nil},
		{"hidden, and yet had", starttls.Always, []string{"<* OK [CAPABILITY IMAP4rev1] x\r\n", request, "<t1 OK go\r\n"}, "ok", "IMAP4rev1", nil},
		{"refused", starttls.IfOffered, []string{greeting, request, "<t1 NO no\r\n"}, "refused", caps, nil},
		{"not now", starttls.IfOffered, []string{greeting, request, "<t1 NO [UNAVAILABLE] no\r\n"}, "refused for now", caps, nil},
		{"a stranger's tag", starttls.IfOffered, []string{greeting, request, "<x1 OK go\r\n"}, "reply", caps, nil},
		{"a continuation", starttls.IfOffered, []string{greeting, request, "<+ OK go\r\n"}, "reply", caps, nil},
		{"untagged is no answer", starttls.IfOffered, []string{greeting, request, "<* OK go\r\n* BYE out\r\n"}, "refused", caps, nil},
		{"closing", starttls.IfOffered, []string{"<* BYE busy\r\n"}, "refused", "", nil},
		{"not a server", starttls.IfOffered, []string{"<220 smtp\r\n"}, "reply", "", nil},
		{"gone", starttls.IfOffered, []string{greeting, request, "<t1 O"}, "end of file", caps, nil},
	})
}

func TestIMAPServer(t *testing.T) {
	const greeting = ">* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] s.test ready\r\n"
	const inClear = " NO [PRIVACYREQUIRED] say STARTTLS first: nothing is accepted in clear\r\n"
	testServer(t, IMAP, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<a capability\r\n", ">* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK done\r\n", "<b StartTLS\r\n", ">b OK begin TLS\r\n"}, "ok", true},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<a LOGIN u p\r\n", ">a" + inClear, "<b AUTHENTICATE PLAIN\r\n", ">b" + inClear, "<c LOGIN {1}\r\n", ">c" + inClear,
			"<d LOGIN {1+}\r\nu {1+}\r\np\r\n", ">d" + inClear, "<e SELECT INBOX\r\n", ">e" + inClear, "<f LOGOUT\r\n", ">* BYE\r\nf OK done\r\n"}, "not upgraded", false},
		{"a literal is no command", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<a X {12+}\r\nb STARTTLS\r\n\r\n", ">a BAD unknown command\r\n"}, "end of file", false},
		{"no tag", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<STARTTLS\r\n", ">* BAD unknown command\r\n", "<a STARTTLS now\r\n", ">a BAD STARTTLS takes no argument\r\n"}, "end of file", false},
		{"declined", starttls.Offer{Mode: starttls.Decline}, starttls.Hello{}, []string{greeting, "<a STARTTLS\r\n", ">a NO [UNAVAILABLE] TLS is not available now\r\n"}, "end of file", false},
		{"hidden", starttls.Offer{Mode: starttls.Hide}, starttls.Hello{}, []string{">* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL+] s.test ready\r\n", "<a STARTTLS\r\n", ">a BAD unknown command\r\n", "<b LOGIN u p\r\n"}, "ok", false},
		{"other words", starttls.Offer{Keyword: "STARTTLX", Reply: []byte("NO never")}, starttls.Hello{}, []string{">* OK [CAPABILITY IMAP4rev1 STARTTLX LOGINDISABLED] s.test ready\r\n", "<a STARTTLS\r\n", ">a NO never\r\n"}, "ok", true},
		{"a browser", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<GET / HTTP/1.1\r\n", ">* BYE this is a mail server\r\n"}, "reply", false},
	})
}

func TestIMAPServe(t *testing.T) {
	leaks, ended := session(t, IMAP, starttls.Hello{}, true,
		"<a CAPABILITY\r\n", ">* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL+\r\na OK done\r\n",
		"<b LOGIN {1}\r\n", ">+ go on\r\n", "<u {2}\r\n", ">+ go on\r\n", "<pw\r\n", ">b OK done\r\n",
		"<c AUTHENTICATE PLAIN\r\n", ">+ \r\n", "<AHUAcA==\r\n", ">c OK signed in\r\n", "<d LOGOUT\r\n", ">* BYE\r\nd OK done\r\n")
	if ended != "ok" || len(leaks) != 2 || leaks[0].User != "u" || string(leaks[0].Secret) != "pw" || string(leaks[1].Secret) != "p" {
		t.Errorf("ends with %q, leaks %+v", ended, leaks)
	}
}

func FuzzIMAP(f *testing.F) {
	for _, s := range []string{
		"* OK [CAPABILITY IMAP4rev1 STARTTLS] x\r\nt1 OK go\r\nc1 OK done\r\n", "* OK x\r\n* CAPABILITY STARTTLS\r\nc1 OK\r\nt1 OK\r\n", "* PREAUTH x\r\n", "* OK x\r\n* Y {3}\r\nabc)\r\nc1 NO\r\n",
		"a STARTTLS\r\n", "a LOGIN {1+}\r\nu {1+}\r\np\r\nb LOGOUT\r\n", "a AUTHENTICATE PLAIN AHUAcA==\r\n", "a X {3}\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, IMAP, data) })
}
