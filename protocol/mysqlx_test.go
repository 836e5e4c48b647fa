package protocol

import (
	"slices"
	"testing"

	"example.org/starttls"
)

// What the two sides say to one another.
var (
	xHello    = string(xMessage(xNotice, append(pbNumber(1, 5), pbBytes(3, nil)...))) // of a server that is new enough
	xGetCaps  = string(xMessage(xCapGet, nil))
	xGranted  = string(xMessage(xOK, nil))
	xWantsTLS = string(xMessage(xCapSet, pbBytes(1, xCapability("tls", xAnyBool(true)))))
)

// xSays is a server's list of capabilities.
func xSays(caps ...[]byte) string { return string(xMessage(xCaps, slices.Concat(caps...))) }

func TestMySQLXClient(t *testing.T) {
	signIn := xSignIn(starttls.Hello{Auth: []string{"MYSQL41", "SHA256_MEMORY"}})
	with, active := xSays(xCapability("tls", xAnyBool(false)), signIn), xSays(xCapability("tls", xAnyBool(true)))
	without := xSays(signIn)
	testClient(t, MySQLX, []clientCase{
		{"offered", starttls.IfOffered, []string{">" + xGetCaps, "<" + with, ">" + xWantsTLS, "<" + xGranted}, "ok", "tls authentication.mechanisms",
			func(h starttls.Hello) bool {
				return h.Offered && slices.Equal(h.Auth, []string{"MYSQL41", "SHA256_MEMORY"})
			}},
		{"behind a notice", starttls.IfOffered, []string{">" + xGetCaps, "<" + xHello + with, ">" + xWantsTLS, "<" + xHello + xGranted}, "ok", "tls authentication.mechanisms", nil},
		{"not offered", starttls.IfOffered, []string{">" + xGetCaps, "<" + without}, "not offered", "authentication.mechanisms", nil},
		{"on already", starttls.IfOffered, []string{">" + xGetCaps, "<" + active}, "not offered", "tls", nil},
		{"hidden, and yet asked", starttls.Always, []string{">" + xGetCaps, "<" + without, ">" + xWantsTLS, "<" + string(xFailure(xErrPrepare, "Capability prepare failed for 'tls'"))}, "refused", "authentication.mechanisms", nil},
		{"full", starttls.IfOffered, []string{">" + xGetCaps, "<" + string(xFailure(1040, "Too many connections"))}, "refused", "", nil},
		{"another answer", starttls.IfOffered, []string{">" + xGetCaps, "<" + xGranted}, "reply", "", nil},
		{"no protobuf", starttls.IfOffered, []string{">" + xGetCaps, "<" + string(xMessage(xCaps, []byte("\x0a\xff")))}, "reply", "", nil},
		{"MySQL's other protocol", starttls.IfOffered, []string{">" + xGetCaps, "<" + myHello("8.4.0", true)}, "reply", "", nil},
		{"too long", starttls.IfOffered, []string{">" + xGetCaps, "<\x00\x00\x01\x00\x02"}, "reply", "", nil},
		{"no TLS wanted", starttls.NoAsk, nil, "ok", "", nil},
	})
}

func TestMySQLXServer(t *testing.T) {
	offered, hidden := xSays(xCapability("tls", xAnyBool(false))), xSays(xSignIn(starttls.Hello{}))
	attributes := xCapability("session_connect_attrs", xAnyBool(true))
	setAttributes := "<" + string(xMessage(xCapSet, pbBytes(1, attributes)))
	both := "<" + string(xMessage(xCapSet, pbBytes(1, append(xCapability("tls", xAnyBool(true)), attributes...))))
	notOn := "<" + string(xMessage(xCapSet, pbBytes(1, xCapability("tls", xAnyBool(false)))))
	signIn := "<" + string(xMessage(xAuth, pbBytes(1, []byte("PLAIN"))))
	no := ">" + string(xFailure(xErrPrepare, "Capability prepare failed for 'tls'"))
	early := ">" + string(xFailure(xErrPrepare, "Capability prepare failed for 'session_connect_attrs': TLS comes first"))
	insecure := ">" + string(xFailure(myErrInsecure, "TLS is required: nothing is accepted in clear"))
	mode := func(m starttls.OfferMode) starttls.Offer { return starttls.Offer{Mode: m} }
	testServer(t, MySQLX, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{"<" + xGetCaps, ">" + offered, "<" + xWantsTLS, ">" + xGranted}, "ok", true},
		{"with other capabilities", starttls.Offer{}, starttls.Hello{}, []string{both, ">" + xGranted}, "ok", true},
		{"nothing set in clear holds", starttls.Offer{}, starttls.Hello{}, []string{setAttributes, early, "<" + xWantsTLS, ">" + xGranted}, "ok", true},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{signIn, insecure}, "not upgraded", false},
		{"off is no request", starttls.Offer{}, starttls.Hello{}, []string{notOn, ">" + string(xFailure(xErrPrepare, "Capability prepare failed for '': TLS comes first"))}, "end of file", false},
		{"left", starttls.Offer{}, starttls.Hello{}, []string{"<" + string(xMessage(xClose, nil)), ">" + xGranted}, "not upgraded", false},
		{"declined", mode(starttls.Decline), starttls.Hello{}, []string{"<" + xGetCaps, ">" + offered, "<" + xWantsTLS, no, signIn, insecure}, "not upgraded", false},
		{"hidden", mode(starttls.Hide), starttls.Hello{}, []string{"<" + xGetCaps, ">" + hidden, "<" + xWantsTLS, no, signIn}, "ok", false},
		{"hidden, and set", mode(starttls.Hide), starttls.Hello{}, []string{setAttributes}, "ok", false},
		{"optional, not taken", mode(starttls.Optional), starttls.Hello{}, []string{signIn}, "ok", false},
		{"no offer", mode(starttls.NoOffer), starttls.Hello{}, nil, "ok", false},
		{"not MySQL", starttls.Offer{}, starttls.Hello{}, []string{"<GET / HTTP/1.1\r\n"}, "reply", false},
	})
}

func TestMySQLXServe(t *testing.T) {
	start := func(mechanism, data string) string {
		return "<" + string(xMessage(xAuth, append(pbBytes(1, []byte(mechanism)), pbBytes(2, []byte(data))...)))
	}
	set := func(name string) string {
		return "<" + string(xMessage(xCapSet, pbBytes(1, xCapability(name, xAnyBool(true)))))
	}
	leaks, end := session(t, MySQLX, starttls.Hello{Auth: []string{"PLAIN"}}, true,
		"<"+xGetCaps, ">"+xSays(xSignIn(starttls.Hello{Auth: []string{"PLAIN"}}), xCapability("tls", xAnyBool(true))),
		set("tls"), ">"+string(xFailure(xErrPrepare, "Capability prepare failed for 'tls'")),
		set("compression"), ">"+string(xFailure(xErrNotFound, "Capability 'compression' doesn't exist")),
		set("session_connect_attrs"), ">"+xGranted,
		start("PLAIN", "no NUL"), ">"+string(xFailure(1045, "Invalid user or password")),
		start("PLAIN", "\x00me\x00secret"), ">"+string(xMessage(xAuthOK, nil)),
		"<"+string(xMessage(xAuthMore, pbBytes(1, []byte("\x00me\x00*0123")))), ">"+string(xMessage(xAuthOK, nil)),
		"<"+string(xMessage(xExecute, pbBytes(1, []byte("SELECT 1")))), ">\x06\x00\x00\x00\x0c\x08\x01\x12\x011\x04\x00\x00\x00\x0d\x0a\x01\x02\x01\x00\x00\x00\x0e\x01\x00\x00\x00\x11",
		"<"+string(xMessage(99, nil)), ">"+string(xFailure(1047, "Unknown message")),
		"<"+string(xMessage(xClose, nil)), ">"+xGranted)
	if end != "ok" || len(leaks) != 3 || leaks[0].User != "me" || string(leaks[0].Secret) != "secret" {
		t.Errorf("ends with %q, heard %+v", end, leaks)
	}
}

func TestParsePB(t *testing.T) {
	fields, ok := parsePB([]byte("\x08\x96\x01\x12\x02ab\x1d1234\x2112345678"))
	if !ok || len(fields) != 4 || fields[0].n != 150 || string(fields[1].data) != "ab" || fields[3].number != 4 {
		t.Errorf("%v, %+v", ok, fields)
	}
	for _, bad := range []string{"\x08", "\x00\x01", "\x0b", "\x12\x02a", "\x1d123", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"} {
		if fields, ok := parsePB([]byte(bad)); ok {
			t.Errorf("%q is taken for %+v", bad, fields)
		}
	}
}

func FuzzMySQLX(f *testing.F) {
	for _, s := range []string{xHello + xSays(xCapability("tls", xAnyBool(false)), xSignIn(starttls.Hello{})) + xGranted, string(xFailure(1040, "Too many connections")),
		xGetCaps + xWantsTLS, string(xMessage(xAuth, append(pbBytes(1, []byte("PLAIN")), pbBytes(2, []byte("\x00me\x00secret"))...))) + string(xMessage(xExecute, pbBytes(1, []byte("select 1"))))} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, MySQLX, data) })
}
