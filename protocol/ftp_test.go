package protocol

import (
	"testing"

	"example.org/starttls"
)

func TestFTPClient(t *testing.T) {
	const greeting, feat = "<220 hello\r\n", ">FEAT\r\n"
	offered := "<211-Features:\r\n AUTH TLS;TLS-C;SSL;\r\n PBSZ\r\n211 End\r\n"
	const caps = "AUTH TLS;TLS-C;SSL; PBSZ"
	testClient(t, FTP, []clientCase{
		{"offered", starttls.IfOffered, []string{greeting, feat, offered, ">AUTH TLS\r\n", "<234 go\r\n"}, "ok", caps,
			func(h starttls.Hello) bool {
				return h.Offered && string(h.Greeting) == "220 hello\r\n" && h.Software == "hello"
			}},
		{"greeting of many lines", starttls.IfOffered, []string{"<220-a\r\n220-b\r\n free text\r\n230 not the end\r\n220 c\r\n", feat, offered, ">AUTH TLS\r\n", "<234-go\r\n234 on\r\n"}, "ok", caps, nil},
		{"120 first", starttls.IfOffered, []string{"<120 in 2 minutes\r\n220 now\r\n", feat, offered, ">AUTH TLS\r\n", "<234 go\r\n"}, "ok", caps, nil},
		{"120 twice", starttls.IfOffered, []string{"<120 in 2 minutes\r\n120 in 1\r\n"}, "refused", "", nil},
		{"signed in already", starttls.IfOffered, []string{"<230 welcome\r\n"}, "already authenticated", "", nil},
		{"signed in already, blind", starttls.Always, []string{"<230 welcome\r\n"}, "already authenticated", "", nil},
		{"signed in already, no TLS", starttls.NoAsk, []string{"<230 welcome\r\n"}, "ok", "", nil},
		{"too many", starttls.IfOffered, []string{"<421 too many\r\n"}, "refused for now", "", nil},
		{"not a server", starttls.IfOffered, []string{"<SSH-2.0-x\r\n"}, "reply", "", nil},
		{"not offered", starttls.IfOffered, []string{greeting, feat, "<211-Features:\r\n UTF8\r\n211 End\r\n"}, "not offered", "UTF8", nil},
		{"SSL only", starttls.IfOffered, []string{greeting, feat, "<211-Features:\r\n AUTH SSL\r\n211 End\r\n"}, "not offered", "AUTH SSL", nil},
		{"no features", starttls.IfOffered, []string{greeting, feat, "<211 none\r\n"}, "not offered", "", nil},
		{"hidden, and yet had", starttls.Always, []string{greeting, feat, "<211 none\r\n", ">AUTH TLS\r\n", "<234 go\r\n"}, "ok", "",
			func(h starttls.Hello) bool { return !h.Offered }},
		{"no FEAT", starttls.IfOffered, []string{greeting, feat, "<500 what?\r\n", ">AUTH TLS\r\n", "<234 go\r\n"}, "ok", "",
			func(h starttls.Hello) bool { return h.Offered }},
		{"no FEAT, no TLS", starttls.IfOffered, []string{greeting, feat, "<502 no\r\n", ">AUTH TLS\r\n", "<500 what?\r\n"}, "refused", "",
			func(h starttls.Hello) bool { return !h.Offered }},
		{"FEAT after sign-in", starttls.IfOffered, []string{greeting, feat, "<530 sign in\r\n", ">AUTH TLS\r\n", "<234 go\r\n"}, "ok", "", nil},
		{"no TLS now", starttls.IfOffered, []string{greeting, feat, offered, ">AUTH TLS\r\n", "<431 not now\r\n"}, "refused for now", caps, nil},
		{"334 is Kerberos's", starttls.IfOffered, []string{greeting, feat, offered, ">AUTH TLS\r\n", "<334 go\r\n"}, "refused", caps, nil},
		{"200 is no 234", starttls.IfOffered, []string{greeting, feat, offered, ">AUTH TLS\r\n", "<200 ok\r\n"}, "refused", caps, nil},
		{"gone", starttls.IfOffered, []string{greeting, feat, "<211-Features:\r\n AUTH T"}, "end of file", "", nil},
	})
}

func TestFTPSettle(t *testing.T) {
	for _, c := range []struct {
		name  string
		turns []string
		end   string
	}{
		{"private", []string{">PBSZ 0\r\n", "<200 PBSZ=0\r\n", ">PROT P\r\n", "<200 ok\r\n"}, "ok"},
		{"no PBSZ", []string{">PBSZ 0\r\n", "<503 no\r\n"}, "refused"},
		{"clear only", []string{">PBSZ 0\r\n", "<200 ok\r\n", ">PROT P\r\n", "<536 no\r\n"}, "refused"},
		{"not now", []string{">PBSZ 0\r\n", "<200 ok\r\n", ">PROT P\r\n", "<431 no\r\n"}, "refused for now"},
		{"202 is no 200", []string{">PBSZ 0\r\n", "<202 superfluous\r\n"}, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := talk(t, starttls.ClientSide, c.turns, FTP.Settle); got != c.end {
				t.Errorf("ends with %q, want %q", got, c.end)
			}
		})
	}
}

func TestFTPServer(t *testing.T) {
	const greeting, bye = ">220 s.test ready\r\n", ">221 Bye\r\n"
	const inClear = ">530 Say AUTH TLS first: nothing is accepted in clear\r\n"
	testServer(t, FTP, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<FEAT\r\n", ">211-Features:\r\n PBSZ\r\n PROT\r\n UTF8\r\n AUTH TLS\r\n211 End\r\n", "<auth tls\r\n", ">234 Begin TLS\r\n"}, "ok", true},
		{"TLS-C", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<AUTH TLS-C\r\n", ">234 Begin TLS\r\n"}, "ok", true},
		{"SSL, TLS optional", starttls.Offer{Mode: starttls.Optional}, starttls.Hello{}, []string{greeting, "<AUTH SSL\r\n", ">234 Begin TLS\r\n"}, "ok", true},
		{"other mechanisms", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<AUTH SSL\r\n", ">504 Only AUTH TLS is known\r\n", "<AUTH GSSAPI\r\n", ">504 Only AUTH TLS is known\r\n", "<AUTH\r\n", ">501 Syntax: AUTH TLS\r\n"}, "end of file", false},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<USER u\r\n", inClear, "<PASS p\r\n", inClear, "<PASV\r\n", inClear, "<PBSZ 0\r\n", ">503 AUTH TLS comes first\r\n", "<PROT P\r\n", ">503 AUTH TLS comes first\r\n", "<XXXX\r\n", ">500 Unknown command\r\n", "<QUIT\r\n", bye}, "not upgraded", false},
		{"declined", starttls.Offer{Mode: starttls.Decline}, starttls.Hello{}, []string{greeting, "<AUTH TLS\r\n", ">431 TLS is not available now\r\n", "<USER u\r\n", inClear}, "end of file", false},
		{"hidden", starttls.Offer{Mode: starttls.Hide}, starttls.Hello{}, []string{greeting, "<FEAT\r\n", ">211-Features:\r\n PBSZ\r\n PROT\r\n UTF8\r\n211 End\r\n", "<AUTH TLS\r\n", ">502 Command not implemented\r\n", "<USER u\r\n"}, "ok", false},
		{"optional", starttls.Offer{Mode: starttls.Optional}, starttls.Hello{}, []string{greeting, "<NOOP\r\n", ">200 OK\r\n", "<TYPE I\r\n"}, "ok", false},
		{"no offer", starttls.Offer{Mode: starttls.NoOffer}, starttls.Hello{Greeting: []byte("220 as given\r\n")}, []string{">220 as given\r\n"}, "ok", false},
		{"other words", starttls.Offer{Keyword: "AUTH XXX", Reply: []byte("534 no")}, starttls.Hello{Caps: []string{"UTF8", "AUTH TLS"}}, []string{greeting, "<FEAT\r\n", ">211-Features:\r\n UTF8\r\n AUTH XXX\r\n211 End\r\n", "<AUTH TLS\r\n", ">534 no\r\n"}, "ok", true},
		{"a browser", starttls.Offer{}, starttls.Hello{}, []string{greeting, "<POST / HTTP/1.1\r\n", ">421 This is a file server\r\n"}, "reply", false},
	})
}

func TestFTPServe(t *testing.T) {
	leaks, ended := session(t, FTP, starttls.Hello{}, true,
		"<FEAT\r\n", ">211-Features:\r\n PBSZ\r\n PROT\r\n UTF8\r\n211 End\r\n",
		"<PROT P\r\n", ">503 PBSZ comes first\r\n", "<PBSZ 0\r\n", ">200 PBSZ=0\r\n",
		"<PROT C\r\n", ">534 Only PROT P is allowed\r\n", "<PROT p\r\n", ">200 Data is protected\r\n",
		"<USER u\r\n", ">331 Password, please\r\n", "<PASS a secret\r\n", ">230 Signed in\r\n",
		"<PWD\r\n", ">257 \"/\"\r\n", "<EPSV\r\n", ">502 Command not implemented\r\n", "<AUTH TLS\r\n", ">503 TLS is not to be had now\r\n",
		"<QUIT\r\n", ">221 Bye\r\n")
	if ended != "ok" || len(leaks) != 2 || leaks[0].What != "metadata" || leaks[1].User != "u" || string(leaks[1].Secret) != "a secret" {
		t.Errorf("ends with %q, leaks %+v", ended, leaks)
	}
	if _, ended = session(t, FTP, starttls.Hello{}, false, "<PBSZ 0\r\n", ">503 There is no TLS here\r\n", "<PROT P\r\n", ">503 PBSZ comes first\r\n"); ended != "end of file" {
		t.Errorf("in clear it ends with %q", ended)
	}
}

func FuzzFTP(f *testing.F) {
	for _, s := range []string{
		"220-a\r\n220 b\r\n211-Features:\r\n AUTH TLS\r\n211 End\r\n234 go\r\n200 a\r\n200 b\r\n",
		"120 a\r\n220 b\r\n500 c\r\n234 d\r\n", "230 welcome\r\n", "220 a\r\n211 none\r\n", "220-\r\n220",
		"FEAT\r\nNOOP\r\nAUTH\r\nAUTH SSL\r\nAUTH TLS\r\n", "USER u\r\nPASS p\r\nPBSZ 0\r\nPROT P\r\nPWD\r\nQUIT\r\n", "GET / HTTP/1.0\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, FTP, data) })
}
