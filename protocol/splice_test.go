package protocol

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"example.org/starttls"
)

// step is what one side says, and what the other is to read; "=" is the same.
type step struct {
	from     starttls.Side
	say, get string
}

func c(say, get string) step { return step{starttls.ClientSide, say, get} }
func s(say, get string) step { return step{starttls.ServerSide, say, get} }

// newSplice is one whose sides are nobody's: for protocols that need not talk on
// the way.
func newSplice(t testing.TB) *starttls.Splice {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	return &starttls.Splice{
		Client:  starttls.NewWire(context.Background(), a, starttls.WireConfig{Side: starttls.ServerSide, TLS: true, Upgraded: true}),
		Backend: starttls.NewWire(context.Background(), &addressed{b}, starttls.WireConfig{}),
		Data: func(backend string, private bool) (*net.TCPAddr, error) {
			if backend != "192.0.2.9:2121" || !private {
				return nil, errors.New("not this one: " + backend)
			}
			return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 50001}, nil
		},
	}
}

// addressed is a connection to 192.0.2.9.
type addressed struct{ net.Conn }

func (*addressed) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 21}
}

// pieces cuts text: whole, byte by byte, or at random.
func pieces(text string, round int) (out []string) {
	for len(text) > 0 {
		n := len(text)
		switch {
		case round == 1:
			n = 1
		case round > 1:
			n = 1 + rand.IntN(min(len(text), 40))
		}
		out, text = append(out, text[:n]), text[n:]
	}
	return out
}

// play gives the steps to p's filters. It returns the error that ends it.
func play(t *testing.T, p starttls.Protocol, sp *starttls.Splice, steps []step, round int) error {
	t.Helper()
	up, down, err := p.(starttls.Splicer).Splice(sp)
	if err != nil {
		return err
	}
	for i, x := range steps {
		f := up
		if x.from == starttls.ServerSide {
			f = down
		}
		var b strings.Builder
		for _, piece := range pieces(x.say, round) {
			if f == nil {
				b.WriteString(piece)
				continue
			}
			out, err := f([]byte(piece))
			if err != nil {
				return err
			}
			b.Write(out)
		}
		got, want := b.String(), x.get
		if want == "=" {
			want = x.say
		}
		if got != want {
			t.Errorf("round %d, step %d, %v says %q: got %q, want %q", round, i, x.from, x.say, got, want)
		}
	}
	return nil
}

const body = "Subject: STARTTLS\r\n\r\n250-STARTTLS\r\n250 STARTTLS\r\nEHLO x\r\nSTARTTLS\r\n..\r\n.x\r\n\r\n.\r\n"

// Whatever the pieces, replies to requests for capabilities are changed, and
// nothing else is.
func TestSplice(t *testing.T) {
	for name, x := range map[string]struct {
		p     starttls.Protocol
		steps []step
	}{
		"smtp": {SMTP, []step{
			c("EHLO me\r\n", "="),
			s("250-STARTTLS at your service\r\n250-SIZE 100\r\n250-XCLIENT ADDR\r\n250 STARTTLS\r\n", "250-STARTTLS at your service\r\n250 SIZE 100\r\n"),
			c("EHLO me\r\n", "="), s("250-mx\r\n250-STARTTLS\r\n250 DSN\r\n", "250-mx\r\n250 DSN\r\n"),
			c("EHLO me\r\n", "="), s("250-mx\r\n250 STARTTLS\r\n", "250 mx\r\n"),
			c("EHLO me\r\n", "="), s("421 4.3.2 no\r\n", "="),
			c("STARTTLS\r\nNOOP\r\n", "NOOP\r\nNOOP\r\n"), s("250 a\r\n250 b\r\n", "503 5.5.1 TLS is not to be had now\r\n250 b\r\n"),
			c("xclient ADDR=192.0.2.1\r\n", "NOOP\r\n"), s("250-two\r\n250 lines\r\n", "550 5.7.0 Not allowed\r\n"),
			c("AUTH LOGIN\r\n", "="), s("334 VXNlcm5hbWU6\r\n", "="), c("STARTTLS\r\n", "="), s("334 UGFzc3dvcmQ6\r\n", "="), c("EHLO\r\n", "="), s("235 ok\r\n", "="),
			c("MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n", "="), s("250 ok\r\n250 ok\r\n354 go\r\n", "="),
			c(body, "="), s("250-queued\r\n250 STARTTLS\r\n", "="),
			c("DATA\r\n", "="), s("503 no\r\n", "="), c("EHLO me\r\n", "="), s("250-mx\r\n250 STARTTLS\r\n", "250 mx\r\n"),
			c("BDAT 18\r\nEHLO x\r\nSTARTTLS\r\nBDAT 0 LAST\r\nRSET\r\n", "="), s("250 a\r\n250 b\r\n250 c\r\n", "="),
			c("DATA\r\n", "="), s("354 go\r\n", "="), c(".\r\n", "="), s("250 ok\r\n", "="),
			s("421 4.4.2 timeout\r\n", "="),
		}},
		"lmtp": {LMTP, []step{
			c("LHLO me\r\n", "="), s("250-mx\r\n250 STARTTLS\r\n", "250 mx\r\n"),
			c("MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nRCPT TO:<no@x>\r\nRCPT TO:<d@x>\r\nDATA\r\n", "="), s("250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n", "="),
			c(body, "="), s("250 for b\r\n", "="), c("LHLO me\r\n", "="), s("250 for d\r\n", "="), s("250-mx\r\n250 STARTTLS\r\n", "250 mx\r\n"),
		}},
		"imap": {IMAP, []step{
			c("a CAPABILITY\r\n", "="), s("* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED IDLE\r\na OK done\r\n", "* CAPABILITY IMAP4rev1 IDLE\r\na OK done\r\n"),
			c("b starttls\r\n", "b NOOP\r\n"), s("b OK done\r\n", "b BAD TLS is not to be had now\r\n"),
			c("c ID (\"name\" \"x\" \"X-Originating-IP\" \"192.0.2.1\")\r\n", "c ID NIL\r\n"), s("* ID NIL\r\nc OK done\r\n", "="),
			c("d LOGIN {4}\r\n", "="), s("+ go on\r\n", "="), c("user {9+}\r\nSTARTTLS\n\r\n", "="), s("d OK [CAPABILITY IMAP4rev1 STARTTLS] in\r\n", "d OK [CAPABILITY IMAP4rev1] in\r\n"),
			c("e LOGIN {4}\r\n", "="), s("e NO too long\r\n", "="), c("f STARTTLS\r\n", "f NOOP\r\n"), s("f OK\r\n", "f BAD TLS is not to be had now\r\n"),
			c("g FETCH 1 BODY[]\r\n", "="),
			s("* 1 FETCH (BODY[] {45}\r\n* CAPABILITY STARTTLS\r\n* OK [CAPABILITY STARTT\r\nx STARTTLS {3}\r\nabc)\r\ng OK done\r\n", "="),
			c("h AUTHENTICATE PLAIN\r\n", "="), s("+ \r\n", "="), c("a STARTTLS\r\n", "="), s("h NO no\r\n", "="),
			c("i APPEND x {10+}\r\na STARTTLS\r\nj NOOP\r\n", "="), s("i OK\r\nj OK\r\n", "="),
			c("k IDLE\r\n", "="), s("+ idling\r\n", "="), c("DONE\r\n", "="), s("k OK\r\n", "="),
			c("l COMPRESS DEFLATE\r\n", "="), s("l OK on\r\n", "="), c("\x00a STARTTLS\r\n", "="), s("* CAPABILITY STARTTLS\r\n", "="),
		}},
		"pop3": {POP3, []step{
			c("CAPA\r\n", "="), s("+OK\r\nTOP\r\nSTLS\r\nUIDL\r\n.\r\n", "+OK\r\nTOP\r\nUIDL\r\n.\r\n"),
			c("stls\r\n", "NOOP\r\n"), s("-ERR unknown\r\n", "-ERR TLS is not to be had now\r\n"),
			c("AUTH PLAIN\r\n", "="), s("+ \r\n", "="), c("STLS\r\n", "="), s("+OK in\r\n", "="),
			c("RETR 1\r\nRETR 9\r\nCAPA\r\n", "="), s("+OK 1\r\n"+body+"-ERR no\r\n+OK\r\nSTLS\r\n.\r\n", "+OK 1\r\n"+body+"-ERR no\r\n+OK\r\n.\r\n"),
			c("LIST 1\r\nUIDL\r\nCAPA\r\n", "="), s("+OK 1 2\r\n+OK\r\nSTLS\r\n.\r\n-ERR no\r\n", "="),
		}},
		"nntp": {NNTP, []step{
			c("CAPABILITIES\r\n", "="), s("101 list\r\nVERSION 2\r\nSTARTTLS\r\nREADER\r\n.\r\n", "101 list\r\nVERSION 2\r\nREADER\r\n.\r\n"),
			c("STARTTLS\r\n", "DATE\r\n"), s("111 20260101000000\r\n", "502 TLS is not to be had now\r\n"),
			c("ARTICLE 1\r\nGROUP x\r\nLISTGROUP x\r\nCAPABILITIES\r\n", "="),
			s("220 1\r\n"+body+"211 1 1 1 x\r\n211 1 1 1 x\r\nSTARTTLS\r\n.\r\n101\r\nSTARTTLS\r\n.\r\n", "220 1\r\n"+body+"211 1 1 1 x\r\n211 1 1 1 x\r\nSTARTTLS\r\n.\r\n101\r\n.\r\n"),
			c("POST\r\n", "="), s("340 go\r\n", "="), c(body, "="), s("240 ok\r\n", "="),
			c("TAKETHIS <x>\r\n"+body+"STARTTLS\r\n", "TAKETHIS <x>\r\n"+body+"DATE\r\n"),
		}},
		"sieve": {Sieve, []step{
			c("CAPABILITY\r\n", "="), s("\"IMPLEMENTATION\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n", "\"IMPLEMENTATION\" \"x\"\r\nOK\r\n"),
			c("LISTSCRIPTS\r\n", "="), s("\"STARTTLS\"\r\n\"OK\" ACTIVE\r\nOK {4}\r\nOK\r\n\r\n", "="),
			c("PUTSCRIPT \"x\" {10+}\r\nSTARTTLS\r\n\r\nSTARTTLS\r\n", "PUTSCRIPT \"x\" {10+}\r\nSTARTTLS\r\n\r\nNOOP\r\n"), s("OK\r\nOK\r\n", "OK\r\nNO \"TLS is not to be had now\"\r\n"),
			c("AUTHENTICATE \"X\"\r\n", "="), s("\"\"\r\n", "="), c("STARTTLS\r\n", "="), s("{4}\r\nOK\r\n\r\n", "="), c("{2+}\r\nab\r\n", "="), s("OK\r\n", "="),
		}},
		"ftp": {FTP, []step{
			c("FEAT\r\n", "="), s("211-Features:\r\n MDTM\r\n AUTH TLS\r\n PBSZ\r\n211 End\r\n", "211-Features:\r\n MDTM\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n"),
			c("AUTH TLS\r\n", "NOOP\r\n"), s("200 ok\r\n", "503 TLS is not to be had now\r\n"),
			c("PASV\r\n", "NOOP\r\n"), s("200 ok\r\n", "522 Say PROT P first: no data goes unprotected\r\n"),
			c("RETR x\r\n", "NOOP\r\n"), s("200 ok\r\n", "521 Say PROT P first: no data goes unprotected\r\n"),
			c("PROT P\r\n", "NOOP\r\n"), s("500 what\r\n", "503 PBSZ comes first\r\n"),
			c("PBSZ 0\r\nPROT C\r\nPROT P\r\n", "NOOP\r\nNOOP\r\nNOOP\r\n"), s("200 a\r\n200 b\r\n200 c\r\n", "200 PBSZ=0\r\n534 Only PROT P is allowed\r\n200 Data is protected\r\n"),
			c("CCC\r\nPORT 1,2,3,4,5,6\r\n", "NOOP\r\nNOOP\r\n"), s("200 a\r\n200 b\r\n", "534 The control connection stays protected\r\n502 Only passive mode is possible here\r\n"),
			c("PASV\r\n", "="), s("227 Entering Passive Mode (10,0,0,1,8,73).\r\n", "227 Entering Passive Mode (198,51,100,7,195,81).\r\n"),
			c("EPSV\r\n", "="), s("229 Extended (|||2121|)\r\n", "229 Entering Extended Passive Mode (|||50001|)\r\n"),
			c("RETR x\r\nPASV\r\n", "="), s("150 go\r\n226-done\r\n227 not this\r\n226 done\r\n227 (192,0,2,9,8,73)\r\n", "150 go\r\n226-done\r\n227 not this\r\n226 done\r\n227 Entering Passive Mode (198,51,100,7,195,81).\r\n"),
		}},
		"xmpp": {XMPPClient, []step{
			c("<stream:stream to='x'>", "="),
			s("<?xml version='1.0'?><stream:stream xmlns:stream='s' id='a>b'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls><a/></stream:features>",
				"<?xml version='1.0'?><stream:stream xmlns:stream='s' id='a>b'><stream:features><a/></stream:features>"),
			s("<iq><features><starttls/></features></iq>", "="),
			s("<success/><stream:stream><stream:features><starttls/><b></b></stream:features>", "<success/><stream:stream><stream:features><b></b></stream:features>"),
			s("<message><features><starttls/></features></message>", "="),
		}},
		"mysql": {MySQL, []step{
			c("\x05\x00\x00\x02\x00\x0a\x00\x00x", "\x05\x00\x00\x01\x00\x02\x00\x00x"),
			s("\x02\x00\x00\x02\xfea", "\x02\x00\x00\x03\xfea"), c("\x01\x00\x00\x04p", "\x01\x00\x00\x03p"),
			s("\x02\x00\x00\x04\x01\x04", "\x02\x00\x00\x05\x01\x04"), s("\x01\x00\x00\x05\x00", "\x01\x00\x00\x06\x00"),
			c("\x01\x00\x00\x00\x0e", "="), s("\x01\x00\x00\x01\x00\x01\x00\x00\x02\x00", "="),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 50 {
				if err := play(t, x.p, newSplice(t), x.steps, round); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// Of LDAP: StartTLS is refused with its own number, and only the rootDSE changes.
func TestSpliceLDAP(t *testing.T) {
	root := func(id int, oids ...string) string {
		var set [][]byte
		for _, o := range oids {
			set = append(set, ber(ldapOctets, []byte(o)))
		}
		attr := ber(ldapMessage, ber(ldapOctets, []byte("supportedExtension")), ber(0x31, set...))
		return string(ldapRequest(id, ber(ldapSearchEntry, ber(ldapOctets), ber(ldapMessage, attr))))
	}
	search := func(id int, dn string) string {
		return string(ldapRequest(id, ber(ldapSearch, ber(ldapOctets, []byte(dn)), berInt(ldapEnumerated, 0), berInt(ldapEnumerated, 0))))
	}
	done := func(id int) string { return string(ldapReply(id, ldapSearchDone, 0, "")) }
	extended := func(id int, oid string) string {
		return string(ldapRequest(id, ber(ldapExtended, ber(0x80, []byte(oid)))))
	}
	long := string(ldapRequest(9, ber(ldapSearchEntry, []byte(strings.Repeat(startTLSOID, 5000)))))
	sasl := string(ldapRequest(10, ber(ldapBind, berInt(ldapInteger, 3), ber(ldapOctets), ber(0xa3, ber(ldapOctets, []byte("GSSAPI"))))))
	steps := []step{
		c(search(1, ""), "="), s(root(1, whoAmIOID, startTLSOID)+done(1), root(1, whoAmIOID)+done(1)),
		c(search(2, "dc=x"), "="), s(root(2, whoAmIOID, startTLSOID)+done(2), "="),
		c(search(3, "")+extended(4, startTLSOID)+extended(5, whoAmIOID), search(3, "")+extended(4, startTLSOID+".0")+extended(5, whoAmIOID)),
		s(string(ldapReply(4, ldapExtendedResponse, 2, "unknown"))+string(ldapReply(5, ldapExtendedResponse, 0, "")),
			string(ldapReply(4, ldapExtendedResponse, ldapOperationsError, "TLS is established already"))+string(ldapReply(5, ldapExtendedResponse, 0, ""))),
		s(root(3, startTLSOID)+long+done(3), root(3)+long+done(3)),
		c(sasl, "="), c("\x00\x00\x00\x05abcde", "="), s("\x00\x00\x00\x05abcde", "="),
	}
	for round := range 50 {
		if err := play(t, LDAP, newSplice(t), steps, round); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

// What does not wait where it must could be read in two ways, and ends.
func TestSpliceEnds(t *testing.T) {
	for name, x := range map[string]struct {
		p     starttls.Protocol
		steps []step
	}{
		"text behind DATA":             {SMTP, []step{c("DATA\r\nXCLIENT ADDR=192.0.2.1\r\n", "")}},
		"text behind AUTH":             {SMTP, []step{c("AUTH PLAIN\r\nXCLIENT ADDR=192.0.2.1\r\n", "")}},
		"bare LF before the dot":       {SMTP, []step{c("DATA\r\n", "="), s("354 go\r\n", "="), c("x\n.\r\nXCLIENT ADDR=192.0.2.1\r\n", "")}},
		"bare LF behind the dot":       {SMTP, []step{c("DATA\r\n", "="), s("354 go\r\n", "="), c("x\r\n.\nXCLIENT ADDR=192.0.2.1\r\n", "")}},
		"bare LF on both":              {SMTP, []step{c("DATA\r\n", "="), s("354 go\r\n", "="), c("x\n.\n", "")}},
		"a reply within the message":   {SMTP, []step{c("DATA\r\n", "="), s("354 go\r\n", "="), c("x\r\n", "="), s("250 ok\r\n", "")}},
		"a literal not waited for":     {IMAP, []step{c("a LOGIN {4}\r\nb ID (\"x-originating-ip\" \"192.0.2.1\")\r\n", "")}},
		"text behind AUTHENTICATE":     {IMAP, []step{c("a AUTHENTICATE X\r\nb ID (\"x-originating-ip\" \"192.0.2.1\")\r\n", "")}},
		"ID with a literal":            {IMAP, []step{c("a ID ({16}\r\n", "")}},
		"STARTTLS with a literal":      {Sieve, []step{c("STARTTLS {4+}\r\nabcd\r\n", "")}},
		"a message that is none":       {LDAP, []step{c("GET / HTTP/1.1\r\n\r\n", "")}},
		"a tag without an end":         {XMPPClient, []step{s("<a "+strings.Repeat("x", xmlSize), "")}},
		"a reply to PASV without one":  {FTP, []step{c("PBSZ 0\r\nPROT P\r\nPASV\r\n", "NOOP\r\nNOOP\r\nPASV\r\n"), s("200 a\r\n200 b\r\n227 none\r\n", "")}},
		"an address of another host's": {FTP, []step{c("PBSZ 0\r\nPROT P\r\nEPSV\r\n", "NOOP\r\nNOOP\r\nEPSV\r\n"), s("200 a\r\n200 b\r\n229 (|||99|)\r\n", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 20 {
				if err := play(t, x.p, newSplice(t), x.steps, round); err == nil {
					t.Fatalf("round %d went on", round)
				}
			}
		})
	}
}

func TestPREAUTHIsRefused(t *testing.T) {
	sp := newSplice(t)
	sp.Hello.Greeting = []byte("* PREAUTH come in\r\n")
	if _, _, err := IMAP.Splice(sp); !errors.Is(err, starttls.ErrAlreadyAuthenticated) {
		t.Errorf("%v", err)
	}
	sp.Hello.Greeting = []byte("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n")
	if _, _, err := IMAP.Splice(sp); err != nil || string(sp.Hello.Greeting) != "* OK [CAPABILITY IMAP4rev1] ready\r\n" {
		t.Errorf("%v, %q", err, sp.Hello.Greeting)
	}
}

// No pieces of any input make a filter fail otherwise than with an error, and
// what is cut differently comes out the same.
func FuzzSplice(f *testing.F) {
	f.Add([]byte("EHLO x\r\nDATA\r\n"), []byte("250-x\r\n250 STARTTLS\r\n354 go\r\n"), byte(3))
	f.Add([]byte("a LOGIN {3}\r\n"), []byte("* CAPABILITY STARTTLS\r\n+ go\r\n"), byte(1))
	f.Add([]byte("\x30\x05\x02\x01\x01\x42\x00"), []byte("<stream:stream><features><starttls/></features>"), byte(2))
	f.Fuzz(func(t *testing.T, client, server []byte, cut byte) {
		for _, p := range All() {
			splicer, ok := p.(starttls.Splicer)
			if !ok {
				continue
			}
			run := func(size int) (string, bool) {
				sp := goneSplice()
				sp.HideAuth = cut&1 == 1
				up, down, err := splicer.Splice(sp)
				if err != nil {
					return "", false // it would talk
				}
				said, ok1 := feed(up, client, size)
				heard, ok2 := feed(down, server, size)
				return said + "|" + heard, ok1 && ok2
			}
			whole, ok1 := run(1 << 20)
			parts, ok2 := run(1 + int(cut))
			if ok1 && ok2 && whole != parts {
				t.Fatalf("%s: %q, in pieces of %d: %q", p.Info().Name, whole, 1+int(cut), parts)
			}
		}
	})
}

// goneSplice is one whose sides have closed: whoever talks to them gets an error.
func goneSplice() *starttls.Splice {
	a, b := net.Pipe()
	a.Close()
	b.Close()
	wire := func(nc net.Conn, side starttls.Side) *starttls.Wire {
		return starttls.NewWire(context.Background(), nc, starttls.WireConfig{Side: side, TLS: side == starttls.ServerSide, Upgraded: side == starttls.ServerSide})
	}
	return &starttls.Splice{Client: wire(a, starttls.ServerSide), Backend: wire(b, starttls.ClientSide),
		Data: func(string, bool) (*net.TCPAddr, error) { return nil, net.ErrClosed }}
}

func feed(f starttls.Filter, b []byte, size int) (string, bool) {
	if f == nil {
		return string(b), true
	}
	var out strings.Builder
	for len(b) > 0 {
		n := min(size, len(b))
		got, err := f(append([]byte(nil), b[:n]...))
		if err != nil {
			return "", false
		}
		out.Write(got)
		b = b[n:]
	}
	return out.String(), true
}
