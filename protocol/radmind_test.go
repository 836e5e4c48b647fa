package protocol

import (
	"testing"

	"example.org/starttls"
)

func TestRadmindClient(t *testing.T) {
	const greeting = "<200-RAP 1 r.test 1.16.0 radmind access protocol\r\n200 CAPA ZLIB REPO\r\n"
	testClient(t, Radmind, []clientCase{
		{"granted", starttls.IfOffered, []string{greeting, ">STARTTLS\r\n", "<220 Ready to start TLS\r\n"}, "ok", "ZLIB REPO",
			func(h starttls.Hello) bool { return h.Offered && h.Software == "radmind 1.16.0" }},
		{"of before capabilities", starttls.IfOffered, []string{"<200 RAP 1 r.test 1.4.0 radmind access protocol\r\n", ">STARTTLS\r\n", "<220 go\r\n"}, "ok", "", nil},
		{"not to be had", starttls.IfOffered, []string{greeting, ">STARTTLS\r\n", "<500 Command STARTTLS unrecognized\r\n"}, "refused", "ZLIB REPO", func(h starttls.Hello) bool { return !h.Offered }},
		{"another answer", starttls.IfOffered, []string{greeting, ">STARTTLS\r\n", "<202 NOOP OK\r\n"}, "reply", "ZLIB REPO", nil},
		{"busy", starttls.IfOffered, []string{"<420 Server busy\r\n"}, "refused for now", "", nil},
		{"no access", starttls.IfOffered, []string{"<500 No access for c.test\r\n"}, "refused", "", nil},
		{"no TLS wanted", starttls.NoAsk, []string{greeting}, "ok", "ZLIB REPO", nil},
		{"not radmind", starttls.IfOffered, []string{"<* OK ready\r\n"}, "reply", "", nil},
	})
}

func TestRadmindServer(t *testing.T) {
	const greeting = ">200-RAP 1 s.test starttls radmind access protocol\r\n200 CAPA REPO\r\n"
	mode := func(m starttls.OfferMode) starttls.Offer { return starttls.Offer{Mode: m} }
	testServer(t, Radmind, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<STARTTLS\r\n", ">220 Ready to start TLS\r\n"}, "ok", true},
		{"cut down", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<noop\r\n", ">202 NOOP OK\r\n", "<star\r\n", ">220 Ready to start TLS\r\n"}, "ok", true},
		{"cut down too far", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<STA\r\n", ">500 Command unrecognized\r\n", "<QUIT\r\n", ">201 QUIT OK, closing connection\r\n"}, "not upgraded", false},
		{"with an argument", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<STARTTLS now\r\n", ">501 Syntax error (no parameters allowed)\r\n"}, "end of file", false},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<LOGI me secret\r\n", ">530 Must issue a STARTTLS command first\r\n", "<STATUS COMMAND\r\n", ">530 Must issue a STARTTLS command first\r\n"}, "end of file", false},
		{"declined", mode(starttls.Decline), starttls.Hello{}, []string{greeting, "<STARTTLS\r\n", ">420 TLS is not available now\r\n"}, "end of file", false},
		{"hidden", mode(starttls.Hide), starttls.Hello{}, []string{greeting, "<STARTTLS\r\n", ">500 Command unrecognized\r\n", "<STAT COMMAND\r\n"}, "ok", false},
		{"optional, not taken", mode(starttls.Optional), starttls.Hello{}, []string{greeting, "<RETR COMMAND\r\n"}, "ok", false},
		{"no offer", mode(starttls.NoOffer), starttls.Hello{}, []string{greeting}, "ok", false},
		{"not radmind", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<GET / HTTP/1.1\r\n", ">500 This is no web server\r\n"}, "reply", false},
	})
}

func TestRadmindServe(t *testing.T) {
	leaks, end := session(t, Radmind, starttls.Hello{}, true, "<NOOP\r\n", ">202 NOOP OK\r\n", "<LOGIN me a secret\r\n", ">205 me successfully logged in\r\n",
		"<REPO ktcheck ok\r\n", ">215 Report successful\r\n", "<STAT COMMAND\r\n", ">500 No access\r\n", "<STARTTLS\r\n", ">500 Command unrecognized\r\n",
		"<QUIT\r\n", ">201 QUIT OK, closing connection\r\n")
	if end != "ok" || len(leaks) != 2 || leaks[0].User != "me" || string(leaks[0].Secret) != "a secret" {
		t.Errorf("ends with %q, heard %+v", end, leaks)
	}
}

func FuzzRadmind(f *testing.F) {
	for _, s := range []string{"200-RAP 1 r.test 1.16.0 radmind access protocol\r\n200 CAPA ZLIB REPO\r\n220 go\r\n", "420 busy\r\n", "NOOP\r\nSTAR\r\n", "STARTTLS now\r\nLOGI a b\r\nQUIT\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, Radmind, data) })
}
