package protocol

import (
	"strings"
	"testing"

	"example.org/starttls"
)

const (
	beepOffer    = "<greeting><profile uri='http://iana.org/beep/TLS' /><profile uri='http://iana.org/beep/SASL/OTP' /></greeting>"
	beepCapsTLS  = "http://iana.org/beep/TLS http://iana.org/beep/SASL/OTP"
	beepStartTLS = "<start number='1' serverName='s.test'><profile uri='http://iana.org/beep/TLS'><![CDATA[<ready />]]></profile></start>"
	beepProceed  = "<profile uri='http://iana.org/beep/TLS'><![CDATA[<proceed />]]></profile>"
)

func TestBEEPClient(t *testing.T) {
	says := func(kind string, number int, text string) string {
		return "<" + beepFrame(kind, number, 0, beepXML(text))
	}
	greets := says("RPY", 0, beepOffer)
	request := ">" + beepOpening(1, beepStartTLS)
	inTwo := "<" + strings.Replace(beepFrame("RPY", 0, 0, "\r\n<greeting><pro"), ".", "*", 1) + "SEQ 0 0 4096\r\n" + beepFrame("RPY", 0, 16, "file uri='http://iana.org/beep/TLS'/></greeting>")
	testClient(t, BEEP, []clientCase{
		{"offered", starttls.IfOffered, []string{greets, request, says("RPY", 1, beepProceed)}, "ok", beepCapsTLS,
			func(h starttls.Hello) bool { return h.Offered && h.Auth[0] == "OTP" }},
		{"in the RFC's layout", starttls.IfOffered, []string{greets, request, says("RPY", 1, "<profile uri='http://iana.org/beep/TLS'>\r\n    <![CDATA[<proceed />]]>\r\n</profile>")}, "ok", beepCapsTLS, nil},
		{"in two frames, without headers", starttls.IfOffered, []string{inTwo, request, says("RPY", 1, beepProceed)}, "ok", beepTLS, nil},
		{"a window is opened first", starttls.IfOffered, []string{greets, request, "<SEQ 0 52 8192\r\n" + says("RPY", 1, beepProceed)[1:]}, "ok", beepCapsTLS, nil},
		{"not offered", starttls.IfOffered, []string{says("RPY", 0, "<greeting />")}, "not offered", "", nil},
		{"hidden, and yet asked", starttls.Always, []string{says("RPY", 0, "<greeting />"), request, says("ERR", 1, beepError("550", "no"))}, "refused", "", nil},
		{"not now", starttls.IfOffered, []string{greets, request, says("ERR", 1, beepError("450", "later"))}, "refused for now", beepCapsTLS, nil},
		{"the channel, but not TLS", starttls.IfOffered, []string{greets, request, says("RPY", 1, "<profile uri='http://iana.org/beep/TLS'><![CDATA[<error code='501'>oops</error>]]></profile>")}, "refused", beepCapsTLS, nil},
		{"the channel alone", starttls.IfOffered, []string{greets, request, says("RPY", 1, "<profile uri='http://iana.org/beep/TLS' />")}, "reply", beepCapsTLS, nil},
		{"another answer", starttls.IfOffered, []string{greets, request, says("RPY", 2, beepProceed)}, "reply", beepCapsTLS, nil},
		{"turned away", starttls.IfOffered, []string{says("ERR", 0, beepError("421", "not available"))}, "refused for now", "", nil},
		{"no greeting", starttls.IfOffered, []string{says("RPY", 0, "<ok />")}, "reply", "", nil},
		{"no XML", starttls.IfOffered, []string{"<" + beepFrame("RPY", 0, 0, "hello")}, "reply", "", nil},
		{"another channel", starttls.IfOffered, []string{"<RPY 1 0 . 0 0\r\nEND\r\n"}, "reply", "", nil},
		{"no end", starttls.IfOffered, []string{"<RPY 0 0 . 0 2\r\nhiEND\n\n"}, "reply", "", nil},
		{"LF alone", starttls.IfOffered, []string{"<RPY 0 0 . 0 2\n\nhiEND\r\n"}, "reply", "", nil},
		{"too long", starttls.IfOffered, []string{"<RPY 0 0 . 0 4097\r\n"}, "limit", "", nil},
		{"not BEEP", starttls.IfOffered, []string{"<220 hello\r\n"}, "reply", "", nil},
		{"no TLS wanted", starttls.NoAsk, []string{greets}, "ok", beepCapsTLS, nil},
	})
}

func TestBEEPServer(t *testing.T) {
	greets := func(m starttls.OfferMode) string {
		return ">" + beepFrame("RPY", 0, 0, BEEP.greeting(starttls.Hello{}, starttls.Offer{Mode: m}))
	}
	said := len(BEEP.greeting(starttls.Hello{}, starttls.Offer{}))
	opens := func(number int, text string) string { return "<" + beepOpening(number, text) }
	answers := func(kind string, number, said int, text string) string {
		return ">" + beepFrame(kind, number, said, beepXML(text))
	}
	other := "<start number='1'><profile uri='http://iana.org/beep/SASL/PLAIN'><![CDATA[<blob>AGEAYg==</blob>]]></profile></start>"
	first := beepError("550", "start TLS first: nothing is accepted in clear")
	mode := func(m starttls.OfferMode) starttls.Offer { return starttls.Offer{Mode: m} }
	testServer(t, BEEP, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{greets(starttls.Grant), opens(1, beepStartTLS), answers("RPY", 1, said, beepProceed)}, "ok", true},
		{"one of several profiles", starttls.Offer{}, starttls.Hello{}, []string{greets(starttls.Grant), opens(7, strings.Replace(beepStartTLS, "<profile", "<profile uri='x' /><profile", 1)), answers("RPY", 7, said, beepProceed)}, "ok", true},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{greets(starttls.Grant), opens(1, other), answers("ERR", 1, said, first),
			"<" + beepFrame("MSG", 2, 0, beepXML(beepStartTLS)), answers("RPY", 2, said+len(beepXML(first)), beepProceed)}, "ok", true},
		{"ready comes with the start", starttls.Offer{}, starttls.Hello{}, []string{greets(starttls.Grant), opens(1, "<start number='1'><profile uri='http://iana.org/beep/TLS' /></start>"), answers("ERR", 1, said, first)}, "end of file", false},
		{"declined", mode(starttls.Decline), starttls.Hello{}, []string{greets(starttls.Decline), opens(1, beepStartTLS), answers("ERR", 1, said, beepError("450", "TLS is not available now"))}, "end of file", false},
		{"hidden", mode(starttls.Hide), starttls.Hello{}, []string{greets(starttls.Hide), opens(1, other)}, "ok", false},
		{"hidden, and yet asked", mode(starttls.Hide), starttls.Hello{}, []string{greets(starttls.Hide), opens(1, beepStartTLS)}, "ok", false},
		{"optional, taken", mode(starttls.Optional), starttls.Hello{}, []string{greets(starttls.Optional), opens(1, beepStartTLS), answers("RPY", 1, said+len(beepProfile(beepSASL+"PLAIN", "")), beepProceed)}, "ok", true},
		{"optional, not taken", mode(starttls.Optional), starttls.Hello{}, []string{greets(starttls.Optional), opens(1, other)}, "ok", false},
		{"left", starttls.Offer{}, starttls.Hello{}, []string{greets(starttls.Grant), opens(1, "<close number='0' code='200' />"), answers("RPY", 1, said, "<ok />")}, "not upgraded", false},
		{"turned away by the client", starttls.Offer{}, starttls.Hello{}, []string{greets(starttls.Grant), "<" + beepFrame("ERR", 0, 0, beepXML(beepError("421", "no")))}, "not upgraded", false},
		{"no offer", mode(starttls.NoOffer), starttls.Hello{}, []string{greets(starttls.NoOffer)}, "ok", false},
		{"not BEEP", starttls.Offer{}, starttls.Hello{}, []string{greets(starttls.Grant), "<GET / HTTP/1.1\r\n"}, "reply", false},
	})
}

// The session counts on from the greeting, be TLS in it or not.
func TestBEEPServe(t *testing.T) {
	inside, optional := BEEP.greeting(starttls.Hello{}, starttls.Offer{Mode: starttls.NoOffer}), BEEP.greeting(starttls.Hello{}, starttls.Offer{Mode: starttls.Optional})
	if len(inside) != len(optional) {
		t.Errorf("greetings of %d and %d bytes", len(inside), len(optional))
	}
	done := beepXML("<profile uri='http://iana.org/beep/SASL/PLAIN'><![CDATA[<blob status='complete' />]]></profile>")
	no := beepXML(beepError("550", "this can not be had here"))
	leaks, end := session(t, BEEP, starttls.Hello{}, true,
		"<"+beepOpening(1, "<start number='1'><profile uri='http://iana.org/beep/SASL/PLAIN'><![CDATA[<blob>AG1lAHNlY3JldA==</blob>]]></profile></start>"), ">"+beepFrame("RPY", 1, len(inside), done),
		"<"+beepFrame("MSG", 2, 0, beepXML(beepStartTLS)), ">"+beepFrame("ERR", 2, len(inside)+len(done), no),
		"<"+beepFrame("MSG", 3, 0, beepXML("<close number='0' code='200' />")), ">"+beepFrame("RPY", 3, len(inside)+len(done)+len(no), beepXML("<ok />")))
	if end != "ok" || len(leaks) != 1 || leaks[0].User != "me" || string(leaks[0].Secret) != "secret" {
		t.Errorf("ends with %q, heard %+v", end, leaks)
	}
}

func FuzzBEEP(f *testing.F) {
	for _, s := range []string{beepFrame("RPY", 0, 0, beepXML(beepOffer)) + beepFrame("RPY", 1, 0, beepXML(beepProceed)), beepOpening(1, beepStartTLS),
		beepFrame("ERR", 0, 0, beepXML(beepError("421", "no"))), "SEQ 0 0 4096\r\nRPY 0 0 * 0 2\r\n\r\nEND\r\nRPY 0 0 . 2 13\r\n<greeting /> END\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, BEEP, data) })
}
