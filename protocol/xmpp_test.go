package protocol

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"example.org/starttls"
)

const (
	xmppHeader   = "<?xml version='1.0'?><stream:stream to='s.test' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
	xmppAnswer   = "<?xml version='1.0'?><stream:stream from='s.test' " + anID + " version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
	xmppRequest  = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	xmppProceed  = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	xmppFailure  = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
	xmppRequired = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
	xmppPLAIN    = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
	xmppOptional = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + xmppPLAIN + "</stream:features>"
	xmppBare     = "<stream:features></stream:features>"
)

func xmppError(condition string) string {
	return "<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
}

func TestXMPPClient(t *testing.T) {
	open := func(then ...string) []string { return append([]string{">" + xmppHeader}, then...) }
	offered := "<" + xmppAnswer + xmppRequired
	asked := func(reply string) []string { return open(offered, ">"+xmppRequest, "<"+reply) }
	testClient(t, XMPPClient, []clientCase{
		{"required", starttls.IfOffered, asked(xmppProceed), "ok", "starttls",
			func(h starttls.Hello) bool { return h.Offered && h.Required && h.Auth == nil }},
		{"optional", starttls.IfOffered, open("<"+xmppAnswer+xmppOptional, ">"+xmppRequest, "<"+xmppProceed), "ok", "starttls mechanisms",
			func(h starttls.Hello) bool {
				return h.Offered && !h.Required && slices.Equal(h.Auth, []string{"PLAIN"})
			}},
		{"other prefixes, white space, quotes", starttls.IfOffered, open(
			"<\r\n<?xml version=\"1.0\" encoding='utf-8' ?>\n<s:stream\txmlns:s=\"http://etherx.jabber.org/streams\" xmlns='jabber:client' id='a>b' version='1.0'>\n<s:features>\n  <t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'><t:required ></t:required></t:starttls>\n</s:features >",
			">"+xmppRequest, "<<t:proceed xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'></t:proceed>"), "ok", "starttls",
			func(h starttls.Hello) bool { return h.Offered && h.Required }},
		{"not offered", starttls.IfOffered, open("<" + xmppAnswer + xmppBare), "not offered", "", nil},
		{"in another namespace", starttls.IfOffered, open("<" + xmppAnswer + "<stream:features><starttls xmlns='urn:x'/></stream:features>"), "not offered", "starttls", nil},
		{"features in another namespace", starttls.IfOffered, open("<" + xmppAnswer + "<features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></features>"), "reply", "", nil},
		{"hidden, and yet had", starttls.Always, open("<"+xmppAnswer+xmppBare, ">"+xmppRequest, "<"+xmppProceed), "ok", "",
			func(h starttls.Hello) bool { return !h.Offered }},
		{"from before 1.0", starttls.IfOffered, open("<<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>"), "not offered", "", nil},
		{"failure", starttls.IfOffered, asked(xmppFailure), "refused", "starttls", nil},
		{"stream error", starttls.IfOffered, asked(xmppError("undefined-condition")), "refused", "starttls", nil},
		{"see other host", starttls.IfOffered, open("<" + xmppAnswer + "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>evil.test</see-other-host></stream:error>"), "refused", "", nil},
		{"<proceed/> of nobody", starttls.IfOffered, asked("<proceed/>"), "reply", "starttls", nil},
		{"<proceed/> of a client", starttls.IfOffered, asked("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"), "reply", "starttls", nil},
		{"white space before <proceed/>", starttls.IfOffered, asked("\n" + xmppProceed), "reply", "starttls", nil},
		{"end instead of <proceed/>", starttls.IfOffered, asked("</stream:stream>"), "reply", "starttls", nil},
		{"a new stream instead of <proceed/>", starttls.IfOffered, asked(xmppAnswer), "reply", "starttls", nil},
		{"comment", starttls.IfOffered, open("<" + xmppAnswer + "<stream:features><!-- x --></stream:features>"), "reply", "", nil},
		{"document type", starttls.IfOffered, open("<<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>"), "reply", "", nil},
		{"processing instruction", starttls.IfOffered, open("<" + xmppAnswer + "<?php echo?>"), "reply", "", nil},
		{"a second declaration", starttls.IfOffered, open("<" + xmppAnswer + "<?xml version='1.0'?><stream:features/>"), "reply", "", nil},
		{"tags that do not match", starttls.IfOffered, open("<" + xmppAnswer + "<stream:features></stream:stream>"), "reply", "", nil},
		{"unknown entity", starttls.IfOffered, open("<" + xmppAnswer + "<stream:features>&x;</stream:features>"), "reply", "", nil},
		{"another charset", starttls.IfOffered, open("<<?xml version='1.0' encoding='utf-16'?>" + xmppAnswer[21:]), "reply", "", nil},
		{"text between", starttls.IfOffered, open("<" + xmppAnswer + "x" + xmppRequired), "reply", "", nil},
		{"too deep", starttls.IfOffered, open("<" + xmppAnswer + strings.Repeat("<a>", 17)), "limit", "", nil},
		{"too long", starttls.IfOffered, open("<" + xmppAnswer + "<a>" + strings.Repeat("<b x='"+strings.Repeat("y", 1<<12)+"'/>", 17)), "limit", "", nil},
		{"a mail server", starttls.IfOffered, open("<220 s.test ESMTP\r\n"), "reply", "", nil},
		{"cut", starttls.IfOffered, open("<" + xmppAnswer[:40]), "end of file", "", nil},
		{"no question", starttls.NoAsk, nil, "ok", "", nil},
	})
}

// TestXMPPNames: what a client says in clear about itself, and escaping.
func TestXMPPNames(t *testing.T) {
	header := ">" + strings.Replace(strings.Replace(xmppHeader, "to='s.test'", "to='s.test' from='c.test'", 1), "jabber:client", "jabber:server", 1)
	got := talk(t, starttls.ClientSide, []string{header, "<" + xmppAnswer + xmppBare}, func(w *starttls.Wire) error {
		_, err := XMPPServer.Client(w, starttls.IfOffered)
		return err
	})
	if got != "not offered" {
		t.Errorf("ends with %q", got)
	}
	s := scripted([]byte("<stream:stream xmlns:stream='" + nsStreams + "' to=\"a'&amp;&lt;b\">"))
	w := wireTo(s, starttls.ServerSide)
	out, _ := XMPPClient.Server(w, starttls.Hello{}, starttls.Offer{})
	if out.Peer != "a'&<b" || !strings.Contains(s.out.String(), "from='a&#39;&amp;&lt;b'") {
		t.Errorf("peer %q, answer %s", out.Peer, s.out.String())
	}
}

// TestXMPPBehindProceed: not one byte behind <proceed/> is taken from what the
// boundary has to see.
func TestXMPPBehindProceed(t *testing.T) {
	for _, behind := range []string{"\n", "<stream:features/>", "\x16\x03\x01"} {
		w := wireTo(scripted([]byte(xmppAnswer+xmppRequired)), starttls.ClientSide)
		x := &xmlReader{w: w}
		if _, _, err := x.next(); err != nil {
			t.Fatal(err)
		}
		w = wireTo(scripted([]byte(xmppProceed+behind)), starttls.ClientSide)
		x.w = w
		if _, e, err := x.next(); err != nil || !e.is(nsTLS, "proceed") || string(w.Ahead()) != behind {
			t.Errorf("%q: %v, %+v, ahead %q", behind, err, e, w.Ahead())
		}
	}
	// White space is let by before the request, and nothing else.
	for before, want := range map[string]string{" \n": "end of file", "\n<a/>": "injected", xmppProceed: "injected"} {
		w := wireTo(scripted([]byte(xmppAnswer+xmppRequired+before)), starttls.ClientSide)
		if _, err := XMPPClient.Client(w, starttls.IfOffered); end(err) != want || w.Asked() != (want == "end of file") {
			t.Errorf("%q: %v, asked %v", before, err, w.Asked())
		}
	}
}

func TestXMPPServer(t *testing.T) {
	mode := func(m starttls.OfferMode) starttls.Offer { return starttls.Offer{Mode: m} }
	open := func(then ...string) []string {
		return append([]string{"<" + xmppHeader, ">" + xmppAnswer + xmppRequired}, then...)
	}
	plain := starttls.Hello{Auth: []string{"PLAIN"}}
	from := strings.Replace(xmppHeader, "to='s.test'", "from='u@s.test'", 1)
	answer := strings.Replace(xmppAnswer, "from='s.test'", "from='s.test' to='u@s.test'", 1)
	optional := func(then ...string) []string {
		return append([]string{"<" + xmppHeader, ">" + xmppAnswer + xmppOptional}, then...)
	}
	testServer(t, XMPPClient, []serverCase{
		{"granted", mode(starttls.Grant), plain, open("<"+xmppRequest, ">"+xmppProceed), "ok", true},
		{"white space before", mode(starttls.Grant), plain, open("< \n"+xmppRequest, ">"+xmppProceed), "ok", true},
		{"with a prefix and a sender", mode(starttls.Grant), plain, []string{"<" + from, ">" + answer + xmppRequired, "<<t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'></t:starttls>", ">" + xmppProceed}, "ok", true},
		{"sign-in", mode(starttls.Grant), plain, open("<<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHUAcA==</auth>", ">"+xmppError("policy-violation")), "not upgraded", false},
		{"in another namespace", mode(starttls.Grant), plain, open("<<starttls/>", ">"+xmppError("policy-violation")), "not upgraded", false},
		{"another stream", mode(starttls.Grant), plain, open("<"+xmppHeader, ">"+xmppError("policy-violation")), "not upgraded", false},
		{"comment", mode(starttls.Grant), plain, open("<<!-- x -->", ">"+xmppError("not-well-formed")), "reply", false},
		{"text", mode(starttls.Grant), plain, open("<x"+xmppRequest, ">"+xmppError("not-well-formed")), "reply", false},
		{"end", mode(starttls.Grant), plain, open("<</stream:stream>", "></stream:stream>"), "not upgraded", false},
		{"header in another namespace", mode(starttls.Grant), plain, []string{"<<stream xmlns='urn:x'>", ">" + xmppError("invalid-namespace")}, "reply", false},
		{"no stream", mode(starttls.Grant), plain, []string{"<" + xmppRequest}, "reply", false},
		{"a browser", mode(starttls.Grant), plain, []string{"<GET / HTTP/1.1\r\n"}, "reply", false},
		{"declined", mode(starttls.Decline), plain, open("<"+xmppRequest, ">"+xmppFailure), "not upgraded", false},
		{"hidden", mode(starttls.Hide), plain, nil, "ok", false},
		{"no offer", mode(starttls.NoOffer), plain, nil, "ok", false},
		{"optional, and wanted", mode(starttls.Optional), plain, optional("<\n"+xmppRequest, ">"+xmppProceed), "ok", true},
		{"optional, and not", mode(starttls.Optional), plain, optional("<<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHUAcA==</auth>"), "ok", false},
		{"optional, and something like it", mode(starttls.Optional), plain, optional("<<starttlsx/>"), "ok", false},
		{"other words", starttls.Offer{Keyword: "xtls", Reply: []byte("<go/>")}, plain, []string{"<" + xmppHeader, ">" + xmppAnswer + "<stream:features><xtls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></xtls></stream:features>", "<" + xmppRequest, "><go/>"}, "ok", true},
	})
}

// A line's end that came with the request, as go-xmpp sends it, is read in
// clear; anything else that came with it is left for the core to refuse.
func TestXMPPServerBehindRequest(t *testing.T) {
	for behind, want := range map[string]string{"\n": "", "\n<x/>": "<x/>"} {
		client, server := net.Pipe()
		go io.Copy(io.Discard, client)
		go func() {
			io.WriteString(client, xmppHeader)
			io.WriteString(client, xmppRequest+behind)
		}()
		w := starttls.NewWire(t.Context(), server, starttls.WireConfig{Side: starttls.ServerSide, ServerName: "s.test"})
		out, err := XMPPClient.Server(w, starttls.Hello{}, starttls.Offer{})
		if err != nil || !out.TLS || string(w.Ahead()) != want {
			t.Errorf("%q: %v, %+v, ahead %q", behind, err, out, w.Ahead())
		}
		client.Close()
		server.Close()
	}
}

// TestXMPPOptionalGoesOn: the session takes up the stream that was opened before.
func TestXMPPOptionalGoesOn(t *testing.T) {
	s := scripted([]byte(xmppHeader + "\n<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHUAcA==</auth></stream:stream>"))
	w := wireTo(s, starttls.ServerSide)
	h := starttls.Hello{Auth: []string{"PLAIN"}}
	if out, err := XMPPClient.Server(w, h, starttls.Offer{Mode: starttls.Optional}); err != nil || out.TLS || out.Peer != "s.test" {
		t.Fatal(out, err)
	}
	var user string
	if err := XMPPClient.Serve(w, h, func(l starttls.Leak) { user = l.User }); err != nil || user != "u" {
		t.Errorf("user %q, %v", user, err)
	}
	if !bytes.HasSuffix(s.out.Bytes(), []byte("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:stream>")) {
		t.Errorf("answer %s", s.out.String())
	}
}

func TestXMPPServe(t *testing.T) {
	const sasl, streams = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-bind"
	leaks, ended := session(t, XMPPClient, starttls.Hello{}, true,
		"<"+xmppHeader, ">"+xmppAnswer+"<stream:features>"+xmppPLAIN+"</stream:features>",
		"<<auth xmlns='"+sasl+"' mechanism='EXTERNAL'>=</auth>", "><failure xmlns='"+sasl+"'><invalid-mechanism/></failure>",
		"<<auth xmlns='"+sasl+"' mechanism='PLAIN'>?</auth>", "><failure xmlns='"+sasl+"'><malformed-request/></failure>",
		"<\n<auth xmlns='"+sasl+"' mechanism='PLAIN'>AHVzZXIAaHVudGVyMg==</auth>", "><success xmlns='"+sasl+"'/>",
		"<"+xmppHeader, ">"+xmppAnswer+"<stream:features><bind xmlns='"+streams+"'/></stream:features>",
		"<<iq type='set' id='1'><bind xmlns='"+streams+"'/></iq>", "><iq type='result' id='1'><bind xmlns='"+streams+"'><jid>user@s.test/demo</jid></bind></iq>",
		"<<iq type='set' id='2'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "><iq type='result' id='2'></iq>",
		"<<iq type='result' id='3'/><presence/><message to='a@b'><body>1 > 0</body></message>",
		"<<iq type='get' id=\"'4\"><ping xmlns='urn:xmpp:ping'/></iq>", "><iq type='result' id='&#39;4'></iq>",
		"<<iq type='set' id='5'><query xmlns='jabber:iq:auth'><username>u</username></query></iq>", "><iq type='result' id='5'></iq>",
		"<</stream:stream>", "></stream:stream>")
	if ended != "ok" || len(leaks) != 3 || leaks[2].What != "metadata" || leaks[0].User != "user" || string(leaks[0].Secret) != "hunter2" || leaks[1].What != "content" {
		t.Errorf("ends with %q, leaks %+v", ended, leaks)
	}
	// In clear, a sign-in is not invited unless the host was told to.
	session(t, XMPPClient, starttls.Hello{}, false, "<"+xmppHeader, ">"+xmppAnswer+xmppBare)
	server := func(s string) string { return strings.Replace(s, "jabber:client", "jabber:server", 1) }
	session(t, XMPPServer, starttls.Hello{}, true, "<"+server(xmppHeader),
		">"+server(xmppAnswer)+"<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>")
}

// TestXMPPSecretsInErrors: a client's malformed words are in no error text.
func TestXMPPSecretsInErrors(t *testing.T) {
	for _, said := range []string{"hunter2 <a>", "<stream:stream hunter2>", xmppHeader + "<auth>hunter2</auth x>", xmppHeader + "hunter2<a/>"} {
		w := wireTo(scripted([]byte(said)), starttls.ServerSide)
		_, err := XMPPClient.Server(w, starttls.Hello{}, starttls.Offer{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", said, err)
		}
	}
}

func FuzzXMPP(f *testing.F) {
	for _, s := range []string{
		xmppAnswer + xmppRequired + xmppProceed, xmppAnswer + xmppOptional + xmppFailure, xmppAnswer + xmppError("host-unknown"),
		xmppHeader + xmppRequest, xmppHeader + "<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>AHUAcA==</auth>" + xmppHeader + "<iq type='get' id='1'/></stream:stream>",
		"<a", "<!DOCTYPE a>", "<stream>", "</>", "<>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzPeer(t, XMPPClient, data)
		fuzzPeer(t, XMPPServer, data)
	})
}

// FuzzXML: what the reader takes for one thing must not depend on how the bytes
// arrive, and it must take none behind it.
func FuzzXML(f *testing.F) {
	for _, s := range []string{
		xmppAnswer + xmppRequired + "rest", "<?xml version='1.0'?>\n<a b='>'/>rest", "<a><b>c</b></a>d", "<stream x='\"'><a y=\"'>\"></a>",
		"<a>&lt;&#39;</a>", "<a><![CDATA[x]]></a>", "<a></b>", "<a b=c>", "<a/><b/>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := &xmlReader{w: wireTo(scripted(data), starttls.ClientSide)}
		bytewise := &xmlReader{w: starttls.NewWire(t.Context(), single{scripted(data)}, starttls.WireConfig{})}
		taken := 0
		for {
			k1, e1, err1 := whole.next()
			k2, e2, err2 := bytewise.next()
			if end(err1) != end(err2) {
				t.Fatalf("whole: %v; byte by byte: %v", err1, err2)
			}
			if err1 != nil {
				break
			}
			if k1 != k2 || e1.XMLName != e2.XMLName || !bytes.Equal(whole.raw, bytewise.raw) {
				t.Fatalf("whole: %v %+v; byte by byte: %v %+v", k1, e1, k2, e2)
			}
			if taken += len(whole.raw); !bytes.Equal(whole.raw, data[taken-len(whole.raw):taken]) || data[taken-1] != '>' {
				t.Fatalf("took %q", whole.raw)
			}
			if len(bytewise.w.Ahead()) > 0 {
				t.Fatalf("byte by byte, it read ahead %q", bytewise.w.Ahead())
			}
		}
		whole.w.Release()
		bytewise.w.Release()
	})
}

// single reads one byte at a time.
type single struct{ *script }

func (s single) Read(b []byte) (int, error) { return s.script.Read(b[:min(1, len(b))]) }
