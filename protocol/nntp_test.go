package protocol

import (
	"testing"

	"example.org/starttls"
)

func TestNNTPClient(t *testing.T) {
	const greeting, ask, offered, request = "<201 INN\r\n", ">CAPABILITIES\r\n", "<101 list\r\nVERSION 2\r\nSTARTTLS\r\nAUTHINFO USER SASL\r\nSASL plain\r\n.\r\n", ">STARTTLS\r\n"
	const caps = "VERSION 2 STARTTLS AUTHINFO USER SASL SASL plain"
	testClient(t, NNTP, []clientCase{
		{"offered", starttls.IfOffered, []string{greeting, ask, offered, request, "<382 go\r\n"}, "ok", caps,
			func(h starttls.Hello) bool { return h.Offered && h.Software == "INN" && len(h.Auth) == 2 }},
		{"not offered", starttls.IfOffered, []string{greeting, ask, "<101 list\r\nREADER\r\n.\r\n"}, "not offered", "READER", nil},
		{"from before CAPABILITIES", starttls.IfOffered, []string{greeting, ask, "<500 what?\r\n"}, "not offered", "", nil},
		{"hidden, and yet had", starttls.Always, []string{greeting, ask, "<500 what?\r\n", request, "<382 go\r\n"}, "ok", "", nil},
		{"not now", starttls.IfOffered, []string{greeting, ask, offered, request, "<580 no\r\n"}, "refused for now", caps, nil},
		{"never", starttls.IfOffered, []string{greeting, ask, offered, request, "<502 no\r\n"}, "refused", caps, nil},
		{"200 is no 382", starttls.IfOffered, []string{greeting, ask, offered, request, "<200 ok\r\n"}, "refused", caps, nil},
		{"closing", starttls.IfOffered, []string{"<400 later\r\n"}, "refused for now", "", nil},
		{"no access", starttls.IfOffered, []string{"<502 no\r\n"}, "refused", "", nil},
		{"no TLS wanted", starttls.NoAsk, []string{greeting}, "ok", "", nil},
		{"gone", starttls.IfOffered, []string{greeting, ask, "<101 list\r\n"}, "end of file", "", nil},
	})
}

func TestNNTPServer(t *testing.T) {
	const greeting, inClear = ">200 s.test ready\r\n", ">483 Say STARTTLS first: nothing is accepted in clear\r\n"
	testServer(t, NNTP, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<CAPABILITIES\r\n", ">101 Capability list:\r\nVERSION 2\r\nREADER\r\nSTARTTLS\r\n.\r\n", "<starttls\r\n", ">382 Continue with TLS negotiation\r\n"}, "ok", true},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<AUTHINFO USER u\r\n", inClear, "<GROUP x\r\n", inClear, "<POST\r\n", inClear, "<XXXX\r\n", ">500 Unknown command\r\n",
			"<STARTTLS now\r\n", ">501 STARTTLS takes no argument\r\n", "<QUIT\r\n", ">205 Bye\r\n"}, "not upgraded", false},
		{"declined", starttls.Offer{Mode: starttls.Decline}, starttls.Hello{}, []string{greeting, "<STARTTLS\r\n", ">580 Can not initiate TLS negotiation\r\n", "<GROUP x\r\n", inClear}, "end of file", false},
		{"hidden", starttls.Offer{Mode: starttls.Hide}, starttls.Hello{}, []string{greeting, "<STARTTLS\r\n", ">500 Unknown command\r\n", "<GROUP x\r\n"}, "ok", false},
		{"a browser", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<GET / HTTP/1.1\r\n", ">400 This is a news server\r\n"}, "reply", false},
	})
}

// MODE READER changes who answers, before TLS and after: the outcome has it for
// a gateway to say again.
func TestNNTPModeReader(t *testing.T) {
	var out starttls.Outcome
	ended := talk(t, starttls.ServerSide, []string{">200 s.test ready\r\n", "<MODE READER\r\n", ">200 Posting allowed\r\n", "<STARTTLS\r\n", ">382 Continue with TLS negotiation\r\n"}, func(w *starttls.Wire) (err error) {
		out, err = NNTP.Server(w, starttls.Hello{}, starttls.Offer{})
		return err
	})
	if ended != "ok" || !out.TLS || string(out.Replay) != "MODE READER\r\n" {
		t.Errorf("ends with %q, %+v", ended, out)
	}
}

func TestNNTPServe(t *testing.T) {
	leaks, ended := session(t, NNTP, starttls.Hello{}, true, "<CAPABILITIES\r\n", ">101 Capability list:\r\nVERSION 2\r\nREADER\r\nAUTHINFO USER\r\n.\r\n",
		"<AUTHINFO USER u\r\n", ">381 Password, please\r\n", "<AUTHINFO PASS p\r\n", ">281 Signed in\r\n", "<STARTTLS\r\n", ">502 TLS is not to be had now\r\n", "<QUIT\r\n", ">205 Bye\r\n")
	if ended != "ok" || len(leaks) != 2 || leaks[0].What != "metadata" || leaks[1].User != "u" || string(leaks[1].Secret) != "p" {
		t.Errorf("ends with %q, leaks %+v", ended, leaks)
	}
}

func FuzzNNTP(f *testing.F) {
	for _, s := range []string{"200 a\r\n101 b\r\nSTARTTLS\r\n.\r\n382 go\r\n", "201 a\r\n500 b\r\n580 c\r\n", "CAPABILITIES\r\nMODE READER\r\nSTARTTLS\r\n", "AUTHINFO USER u\r\nAUTHINFO PASS p\r\nDATE\r\nQUIT\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, NNTP, data) })
}
