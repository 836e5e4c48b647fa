package protocol

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"example.org/starttls"
)

// examples are the files in docs/dialogue.md, by name.
var examples = sync.OnceValues(func() (map[string]string, error) {
	page, err := os.ReadFile("../docs/dialogue.md")
	files := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)```dialogue\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		name := regexp.MustCompile(`(?m)^name +(\S+)$`).FindStringSubmatch(m[1])
		files[name[1]] = m[1]
	}
	return files, err
})

func example(t testing.TB, name string) string {
	t.Helper()
	files, err := examples()
	if err != nil || files[name] == "" {
		t.Fatalf("docs/dialogue.md has no example %q: %v", name, err)
	}
	return files[name]
}

func parsed(t testing.TB, file string) starttls.Protocol {
	t.Helper()
	p, err := ParseDialogue(strings.NewReader(file))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, file)
	}
	return p
}

// every is all registered protocols and the examples of dialogues.
func every(t testing.TB) []starttls.Protocol {
	return append(All(), parsed(t, example(t, "mail")), parsed(t, example(t, "power")))
}

// The dialogue of a protocol that we have understands our own halves of it, and
// they it, inside TLS too.
func TestDialogueMeetsTheProtocol(t *testing.T) {
	client, server := pair(t)
	server.Hello = starttls.Hello{Caps: []string{"SIZE 1000"}, Software: "test"}
	for name, known := range map[string]starttls.Protocol{"mail": SMTP, "power": NUT} {
		own := parsed(t, example(t, name))
		for ends, c := range map[string]struct{ client, server starttls.Protocol }{"client": {own, known}, "server": {known, own}} {
			t.Run(name+"/"+ends, func(t *testing.T) {
				m := host(t, c.server, server)
				conn, err := starttls.Dial(context.Background(), m.addr, c.client, client)
				<-m.upgraded
				if err != nil || m.err != nil {
					t.Fatalf("client: %v; server: %v", err, m.err)
				}
				defer conn.Close()
				h, err := conn.Probe(context.Background())
				if err != nil || h.Offered {
					t.Errorf("inside: %+v, %v", h, err)
				}
				if name == "mail" && ends == "client" {
					if before := conn.Before(); before.Software != "ESMTP test" || strings.Join(before.Caps, " ") != "SIZE 1000 STARTTLS" || strings.Join(h.Auth, " ") != "PLAIN LOGIN" {
						t.Errorf("before: %+v\ninside: %+v", before, h)
					}
				}
			})
		}
	}
}

func TestDialogueClient(t *testing.T) {
	greeting, ehlo := "<220 s.test ESMTP\r\n", ">EHLO c.test\r\n"
	const offer, ask = "<250-s.test\r\n250-SIZE 5\r\n250 STARTTLS\r\n", ">STARTTLS\r\n"
	testClient(t, parsed(t, example(t, "mail")), []clientCase{
		{name: "offered in the last line", turns: []string{greeting, ehlo, offer, ask, "<220 go\r\n"}, end: "ok", caps: "SIZE 5 STARTTLS",
			hello: func(h starttls.Hello) bool {
				return h.Offered && string(h.Greeting) == greeting[1:] && h.Software == "ESMTP"
			}},
		{name: "many lines each", turns: []string{"<220-hello\r\n220-there\r\n220 you\r\n", ehlo, offer, ask, "<220-go\r\n220 on\r\n"}, end: "ok", caps: "SIZE 5 STARTTLS"},
		{name: "not offered", turns: []string{greeting, ehlo, "<250 s.test\r\n"}, end: "not offered"},
		{name: "not offered, asked", ask: starttls.Always, turns: []string{greeting, ehlo, "<250 s.test\r\n", ask, "<220 go\r\n"}, end: "ok",
			hello: func(h starttls.Hello) bool { return !h.Offered }},
		{name: "no at once", turns: []string{"<554-no\r\n554 service\r\n"}, end: "reply"},
		{name: "no for now", turns: []string{"<421 busy\r\n"}, end: "refused for now"},
		{name: "refused", turns: []string{greeting, ehlo, offer, ask, "<554 no\r\n"}, end: "refused", caps: "SIZE 5 STARTTLS"},
		{name: "refused for now", turns: []string{greeting, ehlo, offer, ask, "<454-not\r\n454 now\r\n"}, end: "refused for now", caps: "SIZE 5 STARTTLS"},
		{name: "no ask", ask: starttls.NoAsk, turns: []string{greeting}, end: "ok"},
	})
	list := "name list\nexpect ^\\+OK\nsend CAPA\nexpect ^\\+OK\nuntil ^\\.$\noffer ^STLS$\nask STLS\ngo ^\\+OK\n"
	testClient(t, parsed(t, list), []clientCase{
		{name: "a list with a dot", turns: []string{"<+OK hi\r\n", ">CAPA\r\n", "<+OK\r\nTOP\r\nSTLS\r\n.\r\n", ">STLS\r\n", "<+OK\r\n"}, end: "ok"},
		{name: "no list", turns: []string{"<+OK hi\r\n", ">CAPA\r\n", "<-ERR\r\n"}, end: "reply"},
		{name: "the list breaks off", turns: []string{"<+OK hi\r\n", ">CAPA\r\n", "<+OK\r\nTOP\r\n"}, end: "end of file"},
	})
	testClient(t, parsed(t, example(t, "power")), []clientCase{
		{name: "nothing is advertised", turns: []string{">STARTTLS\n", "<OK STARTTLS\n"}, end: "ok", hello: func(h starttls.Hello) bool { return h.Offered && h.Greeting == nil }},
		{name: "refused without an offer", turns: []string{">STARTTLS\n", "<ERR FEATURE-NOT-CONFIGURED\n"}, end: "refused", hello: func(h starttls.Hello) bool { return !h.Offered }},
	})
}

func TestDialogueServer(t *testing.T) {
	const greeting, caps, bare = ">220 s.test ESMTP\r\n", ">250-s.test\r\n250-STARTTLS\r\n250 HELP\r\n", ">250-s.test\r\n250 HELP\r\n"
	const deny, granted = ">530 Must issue a STARTTLS command first\r\n", ">220 Go ahead\r\n"
	offer := func(m starttls.OfferMode) starttls.Offer { return starttls.Offer{Mode: m} }
	testServer(t, parsed(t, example(t, "mail")), []serverCase{
		{name: "granted", turns: []string{greeting, "<EHLO c.test\r\n", caps, "<STARTTLS\r\n", granted}, end: "ok", tls: true},
		{name: "any case, and again", turns: []string{greeting, "<ehlo c\r\n", caps, "<EHLO d\r\n", caps, "<starttls\r\n", granted}, end: "ok", tls: true},
		{name: "too early, and not in the file", turns: []string{greeting, "<STARTTLS\r\n", deny, "<MAIL FROM:<>\r\n", deny, "<EHLO\r\n", deny}, end: "end of file"},
		{name: "a browser", turns: []string{greeting, "<GET / HTTP/1.1\r\n", deny}, end: "reply"},
		{name: "declined", offer: offer(starttls.Decline), turns: []string{greeting, "<EHLO c\r\n", caps, "<STARTTLS\r\n", deny}, end: "end of file"},
		{name: "hidden", offer: offer(starttls.Hide), turns: []string{greeting, "<EHLO c\r\n", bare, "<STARTTLS\r\n", deny, "<MAIL FROM:<>\r\n"}, end: "ok"},
		{name: "a session without TLS", offer: offer(starttls.Optional), turns: []string{greeting, "<EHLO c\r\n", caps, "<MAIL FROM:<>\r\n"}, end: "ok"},
		{name: "not offered", offer: offer(starttls.NoOffer), turns: []string{greeting}, end: "ok"},
		{name: "other words", offer: starttls.Offer{Keyword: "XXXXXXXA", Reply: []byte("220 other\r\n")},
			turns: []string{greeting, "<EHLO c\r\n", ">250-s.test\r\n250-XXXXXXXA\r\n250 HELP\r\n", "<STARTTLS\r\n", ">220 other\r\n"}, end: "ok", tls: true},
		{name: "another greeting", hello: starttls.Hello{Greeting: []byte("220 hi\r\n")}, turns: []string{">220 hi\r\n"}, end: "end of file"},
	})
	testServer(t, parsed(t, example(t, "power")), []serverCase{
		{name: "no word to change", offer: starttls.Offer{Keyword: "X"}, end: "the dialogue of power does not tell which word offers TLS"},
	})
	two := parsed(t, "name two\nask T {local}\ngo ^t\nsays t {local} {server}\ndeny no, {local}\n")
	testServer(t, two, []serverCase{
		{name: "names", turns: []string{"<x\r\n", ">no, localhost\r\n", "<T me\r\n", ">t localhost s.test\r\n"}, end: "ok", tls: true},
	})
}

// A file has what its lines give, and no more.
func TestDialogueInterfaces(t *testing.T) {
	const least = "name x\nask T\ngo ^t$\n"
	for _, c := range []struct {
		file          string
		probe, inject bool
	}{
		{least, false, false},
		{least + "probe P\nexpect p\n", true, false},
		{least + "probe P\nexpect p\ninject I\nexpect i\n", true, true},
	} {
		p := parsed(t, c.file)
		_, probe := p.(starttls.Prober)
		_, inject := p.(starttls.Injector)
		if probe != c.probe || inject != c.inject {
			t.Errorf("Prober %v, Injector %v of:\n%s", probe, inject, c.file)
		}
		w := wireTo(scripted(nil), starttls.ServerSide)
		_, err := p.Server(w, starttls.Hello{}, starttls.Offer{})
		served := p.(starttls.Host).Serve(w, starttls.Hello{}, nil)
		if want := "the dialogue of x does not tell what the server says"; err == nil || served == nil || err.Error() != want || served.Error() != want {
			t.Errorf("server: %v; host: %v", err, served)
		}
	}
}

func TestParseDialogueRefuses(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"", `the file has no "name"`},
		{"name x", `the file has no "ask"`},
		{"name x\nask T", `the file has no "go"`},
		{"# x\n\nexepct ^220\n", `line 3: "exepct" is no keyword`},
		{"name x\nname y", `line 2: a second "name"`},
		{"name Mail", `line 1: the name "Mail" is no URL scheme: a small letter, then small letters, digits, "+", "-" and ".", 32 at most`},
		{"port 0", `line 1: port "0" is not a number from 1 to 65535`},
		{"port 70000", `line 1: port "70000" is not a number from 1 to 65535`},
		{"end cr", `line 1: lines end in lf or crlf, not in "cr"`},
		{"expect ^(", "line 1: error parsing regexp: missing closing ): `^(`"},
		{"expect", "line 1: the regular expression is missing"},
		{"note ^x", "line 1: no group has a name, as in (?P<cap>...): cap, auth, software or client"},
		{"note (?P<caps>x)", `line 1: nothing is noted as "caps": name the groups cap, auth, software or client`},
		{"send EHLO {me}", "line 1: {me} is no placeholder here; {server} or {local} is"},
		{"send X {marker}", "line 1: {marker} is no placeholder here; {server} or {local} is"},
		{"says hello", `line 1: "says" belongs behind what it answers: "expect", "until" or "go"`},
		{"send X\nsays hello", `line 2: "says" belongs behind what it answers: "expect", "until" or "go"`},
		{"go ^2", `line 1: "go" belongs behind "ask"`},
		{"ask T\nexpect ^2", `line 2: the answer to "ask" is "go"`},
		{"ask T\ngo t\nexpect ^2", `line 3: the answer to "ask" is "go"`},
		{"ask T\ngo t\nsend X", `line 3: "send" belongs before "ask"`},
		{"ask T\nprobe X", `line 2: "probe" belongs behind "go"`},
		{"ask T\ngo t\ninject X", `line 3: "inject" belongs behind "probe"`},
		{"name x\nask T\ngo t\nprobe X", `line 4: no answer is expected to this`},
		{"name x\nask T\ngo t\nprobe X\nexpect x\ninject I", `line 6: no answer is expected to this`},
		{"send \x01", "line 1: a control character, or no UTF-8"},
		{"send \xff", "line 1: a control character, or no UTF-8"},
		{"#" + strings.Repeat("x", 64<<10), "the file has more than 65536 bytes"},
		{"name x\nask T\ngo t\nsays t", `the file has what the server says, but no "deny"`},
		{"name x\ndeny no\nask T\ngo t", "line 3: what the server says is not what is expected, neither less nor more"},
		{"name x\ndeny no\nask T\ngo ^t\nsays x", "line 3: what the server says is not what is expected, neither less nor more"},
		{"name x\ndeny no\nask T\ngo ^t\nsays t\nsays t", "line 3: what the server says is not what is expected, neither less nor more"},
		{"name x\ndeny top\nask T\ngo ^t\nsays t", `line 3: "deny" is a go-ahead`},
		{"name x\ndeny no\noffer S\nexpect x\nsays xS\nask T\ngo ^t\nsays t",
			"line 4: without the line that offers TLS, what the server says is not what is expected: let another be the last"},
		{"name x\ndeny no\nask T\ngo ^t\nsays t\nprobe X\nexpect x\nsays x\ninject I\nexpect .\nsays i", `line 9: the answers to "inject" and to the first "probe" can not be told apart`},
		{"name x\ndeny no\nask T\ngo ^t\nsays t\nprobe X\nuntil ^y\nsays x\nsays y\ninject I\nexpect i\nsays i", `line 6: for "inject", what is expected first must match the first line of the answer`},
	} {
		_, err := ParseDialogue(strings.NewReader(c.file))
		var e *DialogueError
		if !errors.As(err, &e) || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s\nof   %q", err, c.want, c.file[:min(len(c.file), 80)])
		}
		if e != nil && (e.Word == "exepct") != (len(e.Known) > 0) {
			t.Errorf("%q comes with %q", e.Word, e.Known)
		}
	}
}

// FuzzParseDialogue gives a file of any content to the parser and, if it is a
// dialogue, a peer of any content to both its halves.
func FuzzParseDialogue(f *testing.F) {
	for _, name := range []string{"mail", "power"} {
		file := example(f, name)
		f.Add(file, dialogue(f, parsed(f, file), starttls.ServerSide))
		f.Add(file, dialogue(f, parsed(f, file), starttls.ClientSide))
	}
	f.Fuzz(func(t *testing.T, file string, peer []byte) {
		p, err := ParseDialogue(strings.NewReader(file))
		if err != nil {
			if e := new(DialogueError); !errors.As(err, &e) || e.Line > strings.Count(file, "\n")+1 {
				t.Errorf("%v of %q", err, file)
			}
			return
		}
		s := scripted(peer)
		w := wireTo(s, starttls.ClientSide)
		h, err := p.Client(w, starttls.IfOffered)
		if err == nil && !(w.Asked() && h.Offered) {
			t.Errorf("TLS was agreed on; asked %v, offered %v", w.Asked(), h.Offered)
		}
		w.Release()
		w = wireTo(scripted(peer), starttls.ServerSide)
		if out, err := p.Server(w, starttls.Hello{}, starttls.Offer{}); err == nil && !out.TLS {
			t.Error("a session began without TLS")
		}
		w.Release()
	})
}

// FuzzDialogue gives both halves of an example, and its prober, a peer of any
// content.
func FuzzDialogue(f *testing.F) {
	p := parsed(f, example(f, "mail"))
	f.Add(dialogue(f, p, starttls.ServerSide))
	f.Add(dialogue(f, p, starttls.ClientSide))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, p, data) })
}
