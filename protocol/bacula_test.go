package protocol

import (
	"strings"
	"testing"

	"example.org/starttls"
)

func TestBaculaClient(t *testing.T) {
	request := ">" + string(baculaHello(baculaMust))
	says := func(text string) string { return "<" + string(baculaMessage(text)) }
	testClient(t, Bacula, []clientCase{
		{"must", starttls.IfOffered, []string{request, says("starttls tlspsk=2\n")}, "ok", "", func(h starttls.Hello) bool { return h.Offered && h.Required }},
		{"can, or by a key", starttls.IfOffered, []string{request, says("starttls tlspsk=101\n")}, "ok", "", func(h starttls.Hello) bool { return h.Offered && !h.Required }},
		{"by a key alone", starttls.IfOffered, []string{request, says("starttls tlspsk=200\n")}, "refused", "", func(h starttls.Hello) bool { return !h.Offered }},
		{"no number", starttls.IfOffered, []string{request, says("starttls tlspsk=\n")}, "reply", "", nil},
		{"TLS behind the sign-in", starttls.IfOffered, []string{request, says("auth cram-md5 <1.2@d.test> ssl=2\n")}, "refused", "", func(h starttls.Hello) bool { return h.Auth[0] == "CRAM-MD5" }},
		{"not authorized", starttls.IfOffered, []string{request, says(baculaNo)}, "refused", "", nil},
		{"a signal", starttls.IfOffered, []string{request, "<" + baculaEOD}, "reply", "", nil},
		{"too long", starttls.IfOffered, []string{request, "<\x00\x01\x00\x00"}, "reply", "", nil},
		{"no TLS wanted", starttls.NoAsk, nil, "ok", "", nil},
	})
}

func TestBaculaServer(t *testing.T) {
	asks, old := "<"+string(baculaHello(1)), "<"+string(baculaMessage("Hello *UserAgent* calling 100\n"))
	key := "<" + string(baculaHello(200))
	no, must, can := ">"+string(baculaMessage(baculaNo)), ">"+string(baculaMessage("starttls tlspsk=2\n")), ">"+string(baculaMessage("starttls tlspsk=1\n"))
	mode := func(m starttls.OfferMode) starttls.Offer { return starttls.Offer{Mode: m} }
	testServer(t, Bacula, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{asks, must}, "ok", true},
		{"one from before", starttls.Offer{}, starttls.Hello{}, []string{old, no}, "not upgraded", false},
		{"by a key alone", starttls.Offer{}, starttls.Hello{}, []string{key, no}, "not upgraded", false},
		{"declined", mode(starttls.Decline), starttls.Hello{}, []string{asks, no}, "not upgraded", false},
		{"hidden", mode(starttls.Hide), starttls.Hello{}, []string{asks}, "ok", false},
		{"optional, taken", mode(starttls.Optional), starttls.Hello{}, []string{asks, can}, "ok", true},
		{"optional, not taken", mode(starttls.Optional), starttls.Hello{}, []string{old}, "ok", false},
		{"no offer", mode(starttls.NoOffer), starttls.Hello{}, nil, "ok", false},
		{"no hello", starttls.Offer{}, starttls.Hello{}, []string{"<" + string(baculaMessage("status dir\n"))}, "reply", false},
		{"not Bacula", starttls.Offer{}, starttls.Hello{}, []string{"<GET / HTTP/1.1\r\n"}, "reply", false},
	})
}

// An answer to the challenge is taken, whatever it is; a signal is none.
func TestBaculaServe(t *testing.T) {
	for answer, says := range map[string]string{
		string(baculaMessage("KHa8\x00")) + string(baculaMessage("auth cram-md5 <3.4@c.test> ssl=2\n")): baculaRight + baculaWrong,
		baculaEOD: baculaNo,
	} {
		s := scripted([]byte(string(baculaHello(0)) + answer))
		w := starttls.NewWire(t.Context(), s, starttls.WireConfig{Side: starttls.ServerSide, ServerName: "s.test"})
		var leaks []starttls.Leak
		err := Bacula.Serve(w, starttls.Hello{}, func(l starttls.Leak) { leaks = append(leaks, l) })
		back := wireTo(scripted(s.out.Bytes()), starttls.ClientSide)
		challenge, _ := readBacula(back)
		var rest strings.Builder
		for {
			text, err := readBacula(back)
			if err != nil {
				break
			}
			rest.WriteString(text)
		}
		if err != nil || !strings.HasSuffix(challenge, "@s.test> ssl=0\n") || rest.String() != says || (len(leaks) == 1) != (says != baculaNo) {
			t.Errorf("%q: it says %q, %q; %v; heard %+v", answer, challenge, rest.String(), err, leaks)
		}
	}
}

func FuzzBacula(f *testing.F) {
	for _, s := range []string{string(baculaMessage("starttls tlspsk=2\n")) + string(baculaMessage("auth cram-md5 <1.2@d.test> ssl=2\n")), string(baculaHello(2)) + string(baculaMessage("KHa8\x00")),
		string(baculaMessage(baculaNo)), string(baculaHello(0)) + baculaEOD} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, Bacula, data) })
}
