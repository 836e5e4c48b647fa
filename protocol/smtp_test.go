package protocol

import (
	"slices"
	"testing"

	"example.org/starttls"
)

func TestSMTPClient(t *testing.T) {
	const greeting, ehlo = "<220 mx.test ESMTP Exim 4\r\n", ">EHLO c.test\r\n"
	const offered, request = "<250-mx.test Hello [192.0.2.7]\r\n250-STARTTLS\r\n250 AUTH=LOGIN plain\r\n", ">STARTTLS\r\n"
	const caps = "STARTTLS AUTH=LOGIN plain"
	testClient(t, SMTP, []clientCase{
		{"offered", starttls.IfOffered, []string{greeting, ehlo, offered, request, "<220 go\r\n"}, "ok", caps,
			func(h starttls.Hello) bool {
				return h.Offered && h.Software == "ESMTP Exim 4" && h.ClientSeen == "Hello [192.0.2.7]" && slices.Equal(h.Auth, []string{"LOGIN", "PLAIN"})
			}},
		{"greeting of many lines", starttls.IfOffered, []string{"<220-a\r\n220-b\r\n220 c\r\n", ehlo, offered, request, "<220-go\r\n220 on\r\n"}, "ok", caps, nil},
		{"small letters", starttls.IfOffered, []string{greeting, ehlo, "<250-mx.test\r\n250 starttls\r\n", request, "<220 go\r\n"}, "ok", "starttls", nil},
		{"masked", starttls.IfOffered, []string{greeting, ehlo, "<250-mx.test\r\n250 XXXXXXXA\r\n"}, "not offered", "XXXXXXXA", nil},
		{"the name is no capability", starttls.IfOffered, []string{greeting, ehlo, "<250 STARTTLS\r\n"}, "not offered", "", nil},
		{"a word that begins alike", starttls.IfOffered, []string{greeting, ehlo, "<250-mx.test\r\n250 STARTTLSX\r\n"}, "not offered", "STARTTLSX", nil},
		{"hidden, and yet had", starttls.Always, []string{greeting, ehlo, "<250 mx.test\r\n", request, "<220 go\r\n"}, "ok", "",
			func(h starttls.Hello) bool { return !h.Offered }},
		{"HELO only", starttls.IfOffered, []string{greeting, ehlo, "<502 what?\r\n"}, "not offered", "", nil},
		{"HELO only, blind", starttls.Always, []string{greeting, ehlo, "<500 what?\r\n", request, "<500 what?\r\n"}, "refused", "", nil},
		{"EHLO refused", starttls.IfOffered, []string{greeting, ehlo, "<550 go away\r\n"}, "refused", "", nil},
		{"too many", starttls.IfOffered, []string{"<421 too many\r\n"}, "refused for now", "", nil},
		{"no service", starttls.IfOffered, []string{"<554 no service\r\n"}, "refused", "", nil},
		{"no TLS now", starttls.IfOffered, []string{greeting, ehlo, offered, request, "<454 not now\r\n"}, "refused for now", caps, nil},
		{"250 is no 220", starttls.IfOffered, []string{greeting, ehlo, offered, request, "<250 ok\r\n"}, "refused", caps, nil},
		{"codes that change", starttls.IfOffered, []string{greeting, ehlo, "<250-mx.test\r\n251 STARTTLS\r\n250 X\r\n"}, "not offered", "251 STARTTLS X", nil},
		{"not a server", starttls.IfOffered, []string{"<* OK imap\r\n"}, "reply", "", nil},
		{"no TLS wanted", starttls.NoAsk, []string{greeting}, "ok", "", nil},
		{"gone", starttls.IfOffered, []string{greeting, ehlo, "<250-mx"}, "end of file", "", nil},
	})
}

func TestSMTPServer(t *testing.T) {
	const greeting, bye = ">220 s.test ESMTP\r\n", ">221 2.0.0 Bye\r\n"
	const inClear = ">530 5.7.0 Must issue a STARTTLS command first\r\n"
	hello := starttls.Hello{Caps: []string{"8BITMIME", "AUTH PLAIN", "STARTTLS", "XCLIENT NAME ADDR", "XFORWARD NAME", "REQUIRETLS"}}
	testServer(t, SMTP, []serverCase{
		{"granted", starttls.Offer{}, hello, []string{greeting, "<ehlo x\r\n", ">250-s.test\r\n250-8BITMIME\r\n250 STARTTLS\r\n", "<starttls\r\n", ">220 2.0.0 Ready to start TLS\r\n"}, "ok", true},
		{"EHLO comes first", starttls.Offer{}, hello, []string{greeting, "<STARTTLS\r\n", ">503 5.5.1 Send EHLO first\r\n", "<EHLO\r\n", ">501 5.5.4 Syntax: EHLO hostname\r\n"}, "end of file", false},
		{"no parameter", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<EHLO x\r\n", ">250-s.test\r\n250 STARTTLS\r\n", "<STARTTLS now\r\n", ">501 5.5.4 Syntax: STARTTLS takes no parameter\r\n"}, "end of file", false},
		{"nothing in clear", starttls.Offer{}, hello, []string{greeting, "<HELO x\r\n", inClear, "<MAIL FROM:<a@b>\r\n", inClear, "<AUTH PLAIN AAAA\r\n", inClear, "<VRFY x\r\n", inClear,
			"<NOOP\r\n", ">250 2.0.0 OK\r\n", "<QUIT\r\n", bye}, "not upgraded", false},
		{"declined", starttls.Offer{Mode: starttls.Decline}, starttls.Hello{}, []string{greeting, "<EHLO x\r\n", ">250-s.test\r\n250 STARTTLS\r\n", "<STARTTLS\r\n", ">454 4.7.0 TLS not available due to temporary reason\r\n"}, "end of file", false},
		{"hidden", starttls.Offer{Mode: starttls.Hide}, hello, []string{greeting, "<STARTTLS\r\n", ">502 5.5.1 Command not implemented\r\n", "<HELO x\r\n"}, "ok", false},
		{"optional", starttls.Offer{Mode: starttls.Optional}, starttls.Hello{}, []string{greeting, "<EHLO x\r\n", ">250-s.test\r\n250 STARTTLS\r\n", "<MAIL FROM:<a@b>\r\n"}, "ok", false},
		{"masked", starttls.Offer{Keyword: "XXXXXXXX"}, starttls.Hello{}, []string{greeting, "<EHLO x\r\n", ">250-s.test\r\n250 XXXXXXXX\r\n"}, "end of file", false},
		{"a browser", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<GET / HTTP/1.1\r\n", ">502 5.7.0 This is a mail server\r\n"}, "reply", false},
	})
	testServer(t, LMTP, []serverCase{
		{"LMTP", starttls.Offer{}, starttls.Hello{}, []string{">220 s.test LMTP\r\n", "<LHLO x\r\n", ">250-s.test\r\n250 STARTTLS\r\n", "<STARTTLS\r\n", ">220 2.0.0 Ready to start TLS\r\n"}, "ok", true},
		{"EHLO is not LMTP's", starttls.Offer{}, starttls.Hello{}, []string{">220 s.test LMTP\r\n", "<EHLO x\r\n", ">500 5.5.2 Command not recognised\r\n"}, "end of file", false},
	})
}

func TestSMTPServe(t *testing.T) {
	leaks, ended := session(t, LMTP, starttls.Hello{}, true,
		"<MAIL FROM:<a@b>\r\n", ">250 2.1.0 OK\r\n", "<DATA\r\n", ">503 5.5.1 Send RCPT first\r\n",
		"<RCPT TO:<c@d>\r\n", ">250 2.1.5 OK\r\n", "<RCPT TO:<e@f>\r\n", ">250 2.1.5 OK\r\n",
		"<DATA\r\n", ">354 End with a dot on a line of its own\r\n", "<Subject: x\r\n\r\nbody\r\n.\r\n", ">250 2.0.0 Taken\r\n250 2.0.0 Taken\r\n", // one a recipient
		"<AUTH LOGIN\r\n", ">334 VXNlcm5hbWU6\r\n", "<dQ==\r\n", ">334 UGFzc3dvcmQ6\r\n", "<cA==\r\n", ">235 2.7.0 Signed in\r\n",
		"<STARTTLS\r\n", ">503 5.5.1 TLS is not to be had now\r\n", "<QUIT\r\n", ">221 2.0.0 Bye\r\n")
	if ended != "ok" || len(leaks) != 3 || leaks[1].What != "content" || leaks[2].User != "u" || string(leaks[2].Secret) != "p" {
		t.Errorf("ends with %q, leaks %+v", ended, leaks)
	}
}

func FuzzSMTP(f *testing.F) {
	for _, s := range []string{
		"220-a\r\n220 b\r\n250-c\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n220 go\r\n250 x\r\n", "220 a\r\n502 b\r\n", "421 a\r\n", "220\r\n250\r\n",
		"EHLO x\r\nSTARTTLS\r\n", "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\n.\r\nQUIT\r\n", "AUTH PLAIN AHUAcA==\r\nAUTH LOGIN\r\ndQ==\r\ncA==\r\n", "GET / HTTP/1.0\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, SMTP, data); fuzzPeer(t, LMTP, data) })
}
