package protocol

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"example.org/starttls"
)

const (
	ldapStartTLS = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
	ldapGoAhead  = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
	ldapRoot     = "\x30\x25\x02\x01\x02\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00"
	ldapSignIn   = "\x30\x17\x02\x01\x03\x60\x12\x02\x01\x03\x04\x04cn=x\x80\x07hunter2"
)

func TestLDAPClient(t *testing.T) {
	granted := func(h starttls.Hello, err error) bool { return err == nil && h.Offered }
	refused := func(temporary bool, text string) func(starttls.Hello, error) bool {
		return func(h starttls.Hello, err error) bool {
			var r *starttls.RefusedError
			return errors.As(err, &r) && !h.Offered && r.Temporary == temporary && strings.Contains(r.Text, text) && r.Reply[0] == 0x30
		}
	}
	odd := func(_ starttls.Hello, err error) bool { return isReplyError(err) }
	for _, c := range []struct {
		name, in string
		is       func(starttls.Hello, error) bool
	}{
		{"short form", ldapGoAhead, granted},
		{"long form with a name", "\x30\x84\x00\x00\x00\x28\x02\x01\x01\x78\x84\x00\x00\x00\x1f\x0a\x01\x00\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20037", granted},
		{"name and value", "\x30\x26\x02\x01\x01\x78\x21\x0a\x01\x00\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20037\x8b\x00", granted},
		{"controls", "\x30\x0e\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x00", granted},
		{"operationsError", string(ldapReply(1, ldapExtendedResponse, 1, "no")), refused(false, "resultCode 1 no")},
		{"protocolError", string(ldapReply(1, ldapExtendedResponse, 2, "unsupported")), refused(false, "resultCode 2 unsupported")},
		{"referral", string(ldapReply(1, ldapExtendedResponse, 10, "", ber(0xa3, ber(ldapOctets, []byte("ldap://elsewhere.example.test"))))), refused(false, "resultCode 10")},
		{"busy", string(ldapReply(1, ldapExtendedResponse, 51, "")), refused(true, "resultCode 51")},
		{"unavailable", string(ldapReply(1, ldapExtendedResponse, 52, "")), refused(true, "resultCode 52")},
		{"unwilling", string(ldapReply(1, ldapExtendedResponse, 53, "")), refused(false, "resultCode 53")},
		{"disconnection", string(ldapReply(0, ldapExtendedResponse, 52, "going down", ber(0x8a, []byte(noticeOID)))), refused(true, "going down")},
		{"disconnection that says success", string(ldapReply(0, ldapExtendedResponse, 0, "")), refused(false, "resultCode 0")},
		{"another message's answer", string(ldapReply(2, ldapExtendedResponse, 0, "")), odd},
		{"negative message", "\x30\x0c\x02\x01\xff\x78\x07\x0a\x01\x00\x04\x00\x04\x00", odd},
		{"bind response", string(ldapReply(1, ldapBindResponse, 0, "")), odd},
		{"search entry", "\x30\x09\x02\x01\x01\x64\x04\x04\x00\x30\x00", odd},
		{"empty result", "\x30\x05\x02\x01\x01\x78\x00", odd},
		{"code that is no ENUMERATED", "\x30\x0c\x02\x01\x01\x78\x07\x02\x01\x00\x04\x00\x04\x00", odd},
		{"inner length past the end", "\x30\x0c\x02\x01\x01\x78\x47\x0a\x01\x00\x04\x00\x04\x00", odd},
		{"indefinite length", "\x30\x80\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x00\x00", odd},
		{"another protocol", "220 mail.example.test ESMTP\r\n", odd},
		{"cut", ldapGoAhead[:10], func(_ starttls.Hello, err error) bool { return isEOF(err) }},
	} {
		eachSplit(starttls.ClientSide, c.in, func(w *starttls.Wire, s *script, how string) {
			h, err := LDAP.Client(w, starttls.IfOffered)
			if !c.is(h, err) || s.out.String() != ldapStartTLS {
				t.Errorf("%s, %s: %+v, %v; said %q", c.name, how, h, err, s.out.String())
			}
		})
	}
}

func TestLDAPServer(t *testing.T) {
	for _, c := range []struct {
		name, in string
		mode     starttls.OfferMode
		tls      bool
		err      bool
		said     string // part of what it says
		left     string // unread
	}{
		{"StartTLS", ldapStartTLS + "\x16\x03\x01", starttls.Grant, true, false, ldapGoAhead, "\x16\x03\x01"},
		{"long form", "\x30\x84\x00\x00\x00\x1d" + ldapStartTLS[2:], starttls.Grant, true, false, ldapGoAhead, ""},
		{"high message", "\x30\x20\x02\x04\x7f\xff\xff\xff\x77\x18\x80\x161.3.6.1.4.1.1466.20037", starttls.Grant, true, false, "\x02\x04\x7f\xff\xff\xff\x78", ""},
		{"with a value", string(ldapRequest(1, ber(ldapExtended, ber(0x80, []byte(startTLSOID)), ber(0x81)))) + ldapStartTLS, starttls.Grant, true, false, "\x0a\x01\x02", ""},
		{"bind first", ldapSignIn + ldapStartTLS, starttls.Grant, true, false, "\x0a\x01\x0d", ""},
		{"search first", strings.Replace(ldapRoot, "\x04\x00\x0a\x01\x00", "\x04\x00\x0a\x01\x02", 1) + ldapStartTLS, starttls.Grant, true, false, "\x0a\x01\x0d", ""},
		{"rootDSE first", ldapRoot + ldapStartTLS, starttls.Grant, true, false, startTLSOID, ""},
		{"WhoAmI first", string(ldapRequest(1, ber(ldapExtended, ber(0x80, []byte(whoAmIOID))))) + ldapStartTLS, starttls.Grant, true, false, "\x0a\x01\x02", ""},
		{"delete first", "\x30\x06\x02\x01\x05\x4a\x01x" + ldapStartTLS, starttls.Grant, true, false, "\x02\x01\x05\x6b", ""},
		{"unbind", "\x30\x05\x02\x01\x02\x42\x00", starttls.Grant, false, true, "", ""},
		{"declined", ldapStartTLS, starttls.Decline, false, true, "\x0a\x01\x34", ""},
		{"hidden", ldapStartTLS + ldapSignIn, starttls.Hide, false, false, "\x0a\x01\x02", ldapSignIn},
		{"optional, used", ldapRoot + ldapStartTLS, starttls.Optional, true, false, startTLSOID, ""},
		{"optional, not used", ldapSignIn, starttls.Optional, false, false, "", ldapSignIn},
		{"optional, WhoAmI", string(ldapRequest(1, ber(ldapExtended, ber(0x80, []byte(whoAmIOID))))), starttls.Optional, false, false, "", string(ldapRequest(1, ber(ldapExtended, ber(0x80, []byte(whoAmIOID)))))},
		{"a response", ldapGoAhead, starttls.Grant, false, true, noticeOID, ""},
		{"message 0", strings.Replace(ldapStartTLS, "\x02\x01\x01", "\x02\x01\x00", 1), starttls.Grant, false, true, noticeOID, ""},
		{"no LDAP", "GET / HTTP/1.1\r\n", starttls.Grant, false, true, noticeOID, "GET / HTTP/1.1\r\n"},
	} {
		eachSplit(starttls.ServerSide, c.in, func(w *starttls.Wire, s *script, how string) {
			out, err := LDAP.Server(w, starttls.Hello{}, starttls.Offer{Mode: c.mode})
			left, _ := io.ReadAll(w.Conn())
			if c.name == "no LDAP" { // how much came is the segments' affair
				left = []byte(c.left)
			}
			if out.TLS != c.tls || (err != nil) != c.err || !strings.Contains(s.out.String(), c.said) || string(left) != c.left {
				t.Errorf("%s, %s: %+v, %v; said %q; left %q", c.name, how, out, err, s.out.String(), left)
			}
		})
	}
}

// A bind that went wrong is in no error: errors are logged.
func TestLDAPMalformedBindIsNotShown(t *testing.T) {
	for _, in := range []string{
		strings.Replace(ldapSignIn, "\x02\x01\x03\x60", "\x02\x01\x03\x61", 1), // no request
		strings.Replace(ldapSignIn, "\x02\x01\x03", "\x04\x01\x03", 1),         // no number
		"\x31" + ldapSignIn[1:],
	} {
		w := wireTo(scripted([]byte(in)), starttls.ServerSide)
		_, err := LDAP.Server(w, starttls.Hello{}, starttls.Offer{})
		if err == nil || strings.Contains(err.Error()+w.Transcript().String(), "hunter2") {
			t.Errorf("%v\n%s", err, w.Transcript())
		}
	}
}

func TestLDAPServe(t *testing.T) {
	sasl := ldapRequest(4, ber(ldapBind, berInt(ldapInteger, 3), ber(ldapOctets), ber(0xa3, ber(ldapOctets, []byte("PLAIN")), ber(ldapOctets, []byte("\x00eva\x00s3cret")))))
	gssapi := ldapRequest(5, ber(ldapBind, berInt(ldapInteger, 3), ber(ldapOctets), ber(0xa3, ber(ldapOctets, []byte("GSSAPI")))))
	who := ldapRequest(6, ber(ldapExtended, ber(0x80, []byte(whoAmIOID))))
	in := slices.Concat([]byte(ldapSignIn), who, sasl, who, gssapi, []byte(ldapRoot), []byte(ldapStartTLS), []byte("\x30\x05\x02\x01\x02\x42\x00"))
	var leaks []string
	s := scripted(in)
	w := starttls.NewWire(context.Background(), s, starttls.WireConfig{Side: starttls.ServerSide, TLS: true})
	err := LDAP.Serve(w, starttls.Hello{}, func(l starttls.Leak) { leaks = append(leaks, l.Mechanism+" "+l.User+" "+string(l.Secret)) })
	if want := []string{"simple cn=x hunter2", "PLAIN eva s3cret"}; err != nil || !slices.Equal(leaks, want) {
		t.Errorf("%q, %v", leaks, err)
	}
	rest := s.out.Bytes()
	var got []string
	for len(rest) > 0 {
		e, more, err := berNext(rest)
		if err != nil {
			t.Fatal(err)
		}
		parts, _ := berAll(e.content)
		fields, _ := berAll(parts[1].content)
		got, rest = append(got, string(rune('a'+parts[1].tag-0x61))+" "+string(fields[0].content)+" "+string(fields[len(fields)-1].content)), more
	}
	want := map[int]string{0: "a \x00 ", 1: "x \x00 dn:cn=x", 2: "a \x00 ", 3: "x \x00 u:eva", 4: "a \x07 PLAIN and EXTERNAL only", 7: "x \x01 TLS is established already"}
	for i, s := range want {
		if len(got) != 8 || got[i] != s {
			t.Fatalf("answer %d of %q, want %q", i, got, s)
		}
	}
}

func FuzzLDAP(f *testing.F) {
	for _, s := range []string{
		ldapStartTLS, ldapGoAhead, ldapRoot + ldapSignIn, "\x30\x84\x00\x00\x00\x1d" + ldapStartTLS[2:], "\x30\x80\x00\x00",
		string(ldapReply(0, ldapExtendedResponse, 52, "bye")),
		string(ldapRequest(4, ber(ldapBind, berInt(ldapInteger, 3), ber(ldapOctets), ber(0xa3, ber(ldapOctets, []byte("PLAIN")))))),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, LDAP, data) })
}
