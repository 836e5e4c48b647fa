package protocol

import (
	"slices"
	"strings"
	"testing"

	"example.org/starttls"
)

func TestParseIRC(t *testing.T) {
	for _, c := range []struct {
		line, from, command string
		params              []string
	}{
		{"", "", "", nil},
		{"ping", "", "PING", nil},
		{":s.test 670 * :go ahead", "s.test", "670", []string{"*", "go ahead"}},
		{"@time=1;x=:y :n!u@h PRIVMSG #c ::)", "n!u@h", "PRIVMSG", []string{"#c", ":)"}},
		{"CAP  LS   302", "", "CAP", []string{"LS", "302"}},
		{"CAP * LS :", "", "CAP", []string{"*", "LS", ""}},
		{":only", "only", "", nil},
		{"@tags", "", "", nil},
		{"USER a 0 * :b :c", "", "USER", []string{"a", "0", "*", "b :c"}},
	} {
		if m := parseIRC(c.line); m.from != c.from || m.command != c.command || !slices.Equal(m.params, c.params) {
			t.Errorf("%q: %+v", c.line, m)
		}
	}
}

func TestIRCClient(t *testing.T) {
	const ls, ask, granted = ">CAP LS 302\r\n", ">STARTTLS\r\n", "<:s 670 * :go\r\n"
	const offered = "<:s CAP * LS :tls sts=port=6697 sasl=PLAIN,EXTERNAL\r\n"
	const caps = "tls sts=port=6697 sasl=PLAIN,EXTERNAL"
	testClient(t, IRC, []clientCase{
		{"offered", starttls.IfOffered, []string{ls, offered, ask, granted}, "ok", caps,
			func(h starttls.Hello) bool { return h.Offered && slices.Equal(h.Auth, []string{"PLAIN", "EXTERNAL"}) }},
		{"a list of many lines", starttls.IfOffered, []string{ls, "<:s CAP * LS * :multi-prefix\r\n:s CAP * LS * :TLS sasl\r\n:s CAP * LS :away-notify\r\n", ask, granted}, "ok", "multi-prefix TLS sasl away-notify",
			func(h starttls.Hello) bool { return h.Offered && slices.Equal(h.Auth, []string{"PLAIN"}) }},
		{"notices all over", starttls.IfOffered, []string{ls, "<NOTICE AUTH :*** Looking up your hostname\r\n:s 020 * :Please wait\r\n:s 439 * :Wait more\r\n" + offered[1:], ask,
			"<:s NOTICE * :*** Found\r\n:s 670 * :go\r\n"}, "ok", caps, nil},
		{"a ping first", starttls.IfOffered, []string{ls, "<PING :cookie\r\n", ">PONG :cookie\r\n", offered, ask, "<PING s cookie\r\n", ">PONG :cookie\r\n", granted}, "ok", caps, nil},
		{"not offered", starttls.IfOffered, []string{ls, "<:s CAP * LS :tlsx\r\n"}, "not offered", "tlsx", nil},
		{"nothing offered", starttls.IfOffered, []string{ls, "<:s CAP * LS :\r\n"}, "not offered", "", nil},
		{"no CAP", starttls.IfOffered, []string{ls, "<:s 421 * CAP :Unknown command\r\n"}, "not offered", "", nil},
		{"no CAP, blind", starttls.Always, []string{ls, "<:s 451 * CAP :Register first\r\n", ask, granted}, "ok", "",
			func(h starttls.Hello) bool { return !h.Offered }},
		{"failed", starttls.IfOffered, []string{ls, offered, ask, "<:s 691 * :STARTTLS failed\r\n"}, "refused", caps, nil},
		{"unknown", starttls.Always, []string{ls, "<:s 421 * CAP :?\r\n", ask, "<:s 421 * STARTTLS :?\r\n"}, "refused", "", nil},
		{"not registered", starttls.IfOffered, []string{ls, offered, ask, "<:s 451 * :?\r\n"}, "refused", caps, nil},
		{"banned", starttls.IfOffered, []string{ls, "<:s 465 * :You are banned\r\nERROR :Closing link\r\n"}, "refused for now", "", nil},
		{"another protocol", starttls.IfOffered, []string{ls, "<220 mail.test ESMTP\r\n"}, "reply", "", nil},
		{"cut list", starttls.IfOffered, []string{ls, "<:s CAP * LS * :tls\r\n"}, "end of file", "tls", nil},
		{"no question", starttls.NoAsk, nil, "ok", "", nil},
	})
}

// TestIRCAnswersBeforeTheQuestion: what stands ready before STARTTLS is said
// may be chatter, and nothing else.
func TestIRCAnswersBeforeTheQuestion(t *testing.T) {
	for reply, want := range map[string]string{
		":s NOTICE * :hello\r\n:s 020 * :wait\r\n:s 691 * :in time\r\n": "injected",
		":s 670 * :go\r\n":                               "injected",
		":s CAP * NEW :x\r\n":                            "injected",
		":s NOTICE * :hello\r\nNOTICE * :cut off":        "end of file",
		"PING :x\r\n:s NOTICE * :then nothing comes\r\n": "end of file",
	} {
		s := scripted([]byte(":s CAP * LS :tls\r\n" + reply))
		w := wireTo(s, starttls.ClientSide)
		if _, err := IRC.Client(w, starttls.IfOffered); end(err) != want {
			t.Errorf("%q: %v, want %s", reply, err, want)
		}
		if asked := strings.Contains(s.out.String(), "STARTTLS"); asked && want == "injected" {
			t.Errorf("%q: asked all the same", reply)
		}
	}
}

func TestIRCServer(t *testing.T) {
	const inClear = ">ERROR :Say STARTTLS first: nothing is accepted in clear\r\n"
	const granted = ">:s.test 670 * :STARTTLS successful, go ahead with TLS\r\n"
	mode := func(m starttls.OfferMode) starttls.Offer { return starttls.Offer{Mode: m} }
	sasl := starttls.Hello{Caps: []string{"sasl=PLAIN", "away-notify"}}
	testServer(t, IRC, []serverCase{
		{"granted", mode(starttls.Grant), sasl, []string{"<CAP LS 302\r\n", ">:s.test CAP * LS :away-notify tls\r\n", "<starttls\r\n", granted}, "ok", true},
		{"at once", mode(starttls.Grant), sasl, []string{"<STARTTLS\r\n", granted}, "ok", true},
		{"ping", mode(starttls.Grant), sasl, []string{"<PING :M7\r\n", ">:s.test PONG s.test :M7\r\n"}, "end of file", false},
		{"registration", mode(starttls.Grant), sasl, []string{"<NICK n\r\n", inClear}, "not upgraded", false},
		{"with a prefix", mode(starttls.Grant), sasl, []string{"<:n PASS p\r\n", inClear}, "not upgraded", false},
		{"sign-in", mode(starttls.Decline), sasl, []string{"<AUTHENTICATE PLAIN\r\n", inClear}, "not upgraded", false},
		{"sign-in capability", mode(starttls.Grant), sasl, []string{"<CAP REQ :sasl\r\n", ">:s.test CAP * NAK :sasl\r\n"}, "end of file", false},
		{"declined", mode(starttls.Decline), sasl, []string{"<CAP LS\r\n", ">:s.test CAP * LS :away-notify tls\r\n", "<STARTTLS\r\n", ">:s.test 691 * :TLS is not available now\r\n"}, "end of file", false},
		{"hidden", mode(starttls.Hide), sasl, []string{"<CAP LS\r\n", ">:s.test CAP * LS :sasl=PLAIN away-notify\r\n", "<STARTTLS\r\n", ">:s.test 421 * STARTTLS :Unknown command\r\n", "<CAP REQ :sasl\r\n"}, "ok", false},
		{"optional", mode(starttls.Optional), sasl, []string{"<CAP LS\r\n", ">:s.test CAP * LS :sasl=PLAIN away-notify tls\r\n", "<:n NICK n\r\n"}, "ok", false},
		{"no offer", mode(starttls.NoOffer), sasl, nil, "ok", false},
		{"other words", starttls.Offer{Keyword: "xls", Reply: []byte("670 you :do")}, sasl, []string{"<CAP LS\r\n", ">:s.test CAP * LS :away-notify xls\r\n", "<STARTTLS\r\n", ">:s.test 670 you :do\r\n"}, "ok", true},
		{"unknown", mode(starttls.Grant), sasl, []string{"<HUNTER2\r\n", ">:s.test 421 * * :Unknown command\r\n", "<QUIT\r\n", ">ERROR :Bye\r\n"}, "not upgraded", false},
		{"a browser", mode(starttls.Grant), sasl, []string{"<GET / HTTP/1.1\r\n", ">ERROR :This is a chat server\r\n"}, "reply", false},
	})
}

func TestIRCServe(t *testing.T) {
	const secret = "AHVzZXIAaHVudGVyMg==" // NUL user NUL hunter2
	leaks, ended := session(t, IRC, starttls.Hello{Caps: []string{"tls", "away-notify"}}, true,
		"<CAP LS 302\r\n", ">:s.test CAP * LS :away-notify sasl=PLAIN\r\n",
		"<NICK n\r\nUSER u 0 * :name\r\n", // no welcome before CAP END
		"<CAP REQ :sasl tls\r\n", ">:s.test CAP n NAK :sasl tls\r\n",
		"<CAP REQ :sasl\r\n", ">:s.test CAP n ACK :sasl\r\n",
		"<AUTHENTICATE PLAIN\r\n", ">AUTHENTICATE +\r\n",
		"<AUTHENTICATE EXTERNAL\r\n", ">:s.test 904 n :Sign-in failed\r\n",
		"<AUTHENTICATE "+secret+"\r\n", ">:s.test 903 n :Signed in\r\n",
		"<CAP END\r\n", ">:s.test 001 n :Welcome\r\n:s.test 422 n :No message of the day\r\n",
		"<STARTTLS\r\n", ">:s.test 691 n :TLS is not to be had now\r\n",
		"<PING :1\r\n", ">:s.test PONG s.test :1\r\n", "<JOIN #c\r\n", ">:s.test 421 n JOIN :Unknown command\r\n",
		"<QUIT :x\r\n", ">ERROR :Bye\r\n")
	if ended != "ok" || len(leaks) != 2 || leaks[1].User != "user" || string(leaks[1].Secret) != "hunter2" {
		t.Errorf("ends with %q, leaks %+v", ended, leaks)
	}
	session(t, IRC, starttls.Hello{}, false, "<CAP LS\r\n", ">:s.test CAP * LS :\r\n", "<USER u 0 * :n\r\nCAP END\r\nNICK n\r\n", ">:s.test 001 n :Welcome\r\n")
}

func FuzzIRC(f *testing.F) {
	for _, s := range []string{
		":s CAP * LS * :a\r\n:s CAP * LS :tls sasl=PLAIN\r\n:s NOTICE * :x\r\n:s 670 * :go\r\n",
		"NOTICE AUTH :x\r\nPING :y\r\n:s 020 * :z\r\n:s 421 * CAP :?\r\n:s 691 * :no\r\n", "ERROR :bye\r\n", "@a=b :c", "CAP", "PING",
		"CAP LS 302\r\nSTARTTLS\r\n", ":n NICK n\r\nUSER u 0 * :n\r\nAUTHENTICATE PLAIN\r\nAUTHENTICATE AHUAcA==\r\nQUIT\r\n", "CAP REQ :sasl\r\nCAP END\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m := parseIRC(string(data)); strings.ContainsAny(m.command, " \t") || m.line != string(data) {
			t.Errorf("%q: %+v", data, m)
		}
		fuzzPeer(t, IRC, data)
	})
}
