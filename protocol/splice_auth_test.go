package protocol

import (
	"bytes"
	"strings"
	"testing"

	"example.org/starttls"
)

// In clear, where the gateway has TLS, nobody signs in, and who needs not may go
// on.
func TestSpliceHidesAuth(t *testing.T) {
	bind := func(id int, choice []byte) string {
		return string(ldapRequest(id, ber(ldapBind, berInt(ldapInteger, 3), ber(ldapOctets, []byte("cn=x")), choice)))
	}
	simple := func(password string) []byte { return ber(0x80, []byte(password)) }
	sasl := func(name string) []byte { return ber(0xa3, ber(ldapOctets, []byte(name))) }
	nothing := func(id int) string {
		return string(ldapRequest(id, ber(ldapExtended, ber(0x80, []byte(startTLSOID+".0")))))
	}
	unknown := func(id int) string { return string(ldapReply(id, ldapExtendedResponse, 2, "unknown")) }
	refused := func(id int) string {
		return string(ldapReply(id, ldapBindResponse, ldapConfidentiality, "sign-in is for TLS: StartTLS first"))
	}
	type hidden struct {
		p     starttls.Protocol
		steps []step
	}
	cases := map[string]hidden{
		"smtp": {SMTP, []step{
			c("EHLO me\r\n", "="), s("250-mx\r\n250-AUTH PLAIN\r\n250-REQUIRETLS\r\n250 AUTH=PLAIN\r\n", "250 mx\r\n"),
			c("AUTH PLAIN AGEAYg==\r\n", "NOOP\r\n"), s("250 ok\r\n", "538 5.7.11 Encryption required for this\r\n"),
		}},
		"imap": {IMAP, []step{
			c("a CAPABILITY\r\n", "="), s("* CAPABILITY IMAP4rev1 AUTH=PLAIN IDLE\r\na OK [CAPABILITY AUTH=PLAIN ID] x\r\n", "* CAPABILITY IMAP4rev1 IDLE LOGINDISABLED\r\na OK [CAPABILITY ID LOGINDISABLED] x\r\n"),
			c("b LOGIN me secret\r\nc AUTHENTICATE PLAIN AGEAYg==\r\nd NOOP\r\n", "b NOOP\r\nc NOOP\r\nd NOOP\r\n"),
			s("b OK x\r\nc OK x\r\nd OK x\r\n", "b NO [PRIVACYREQUIRED] Sign-in is for TLS: STARTTLS first\r\nc NO [PRIVACYREQUIRED] Sign-in is for TLS: STARTTLS first\r\nd OK x\r\n"),
			c("e LOGIN {2}\r\n", "e NOOP\r\n"), s("e OK x\r\n", "e NO [PRIVACYREQUIRED] Sign-in is for TLS: STARTTLS first\r\n"), c("f NOOP\r\n", "="),
		}},
		"pop3": {POP3, []step{
			c("CAPA\r\n", "="), s("+OK\r\nSASL PLAIN\r\nUSER\r\nTOP\r\n.\r\n", "+OK\r\nTOP\r\n.\r\n"),
			c("USER me\r\nPASS secret\r\nAPOP me 1234\r\nAUTH PLAIN AGEAYg==\r\nQUIT\r\n", "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nQUIT\r\n"),
			s("-ERR a\r\n-ERR b\r\n-ERR c\r\n-ERR d\r\n+OK\r\n", strings.Repeat("-ERR sign-in is for TLS: STLS first\r\n", 4)+"+OK\r\n"),
		}},
		"nntp": {NNTP, []step{
			c("CAPABILITIES\r\n", "="), s("101 x\r\nREADER\r\nAUTHINFO USER SASL\r\nSASL PLAIN\r\n.\r\n", "101 x\r\nREADER\r\n.\r\n"),
			c("AUTHINFO USER me\r\nAUTHINFO PASS secret\r\nGROUP x\r\n", "DATE\r\nDATE\r\nGROUP x\r\n"),
			s("111 a\r\n111 b\r\n211 1 1 1 x\r\n", strings.Repeat("483 Sign-in is for TLS: STARTTLS first\r\n", 2)+"211 1 1 1 x\r\n"),
		}},
		"sieve": {Sieve, []step{
			c("CAPABILITY\r\n", "="), s("\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n", "\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"\"\r\nOK\r\n"),
			c("AUTHENTICATE \"PLAIN\" \"AGEAYg==\"\r\n", "NOOP\r\n"), s("OK\r\n", "NO (ENCRYPT-NEEDED) \"sign-in is for TLS: STARTTLS first\"\r\n"),
		}},
		"ftp": {FTP, []step{
			c("USER me\r\n", "NOOP\r\n"), s("200 ok\r\n", "530 Sign-in is for TLS: AUTH TLS first\r\n"),
			c("USER anonymous\r\nPASS me@\r\n", "="), s("331 a\r\n230 b\r\n", "="),
		}},
		"ldap": {LDAP, []step{
			c(bind(1, simple("")), "="), c(bind(2, simple("secret")), nothing(2)), s(unknown(2), refused(2)),
			c(bind(3, sasl("EXTERNAL")), "="), c(bind(4, sasl("PLAIN")), nothing(4)), s(unknown(4), refused(4)),
			c(bind(5, sasl("GSSAPI")), nothing(5)), s(unknown(5), refused(5)), c(bind(6, ber(0x83)), nothing(6)), s(unknown(6), refused(6)),
		}},
	}
	cases["submission"], cases["lmtp"] = hidden{Submission, cases["smtp"].steps}, hidden{LMTP, []step{c("LHLO me\r\n", "="), s("250-mx\r\n250 AUTH PLAIN\r\n", "250 mx\r\n")}}
	for name, x := range cases {
		t.Run(name, func(t *testing.T) {
			for round := range 20 {
				sp := newSplice(t)
				sp.HideAuth = true
				if err := play(t, x.p, sp, x.steps, round); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
		})
	}
	for _, p := range All() { // those who say so
		if _, tested := cases[p.Info().Name]; p.Info().HidesAuth && !tested {
			t.Errorf("%s hides sign-in, and no test says so", p.Info().Name)
		}
	}
}

// What might be a sign-in in clear and can not be read does not pass.
func TestSpliceHidesAuthUnread(t *testing.T) {
	bind := func(id, password []byte) string {
		return string(ber(ldapMessage, ber(ldapInteger, id), ber(ldapBind, berInt(ldapInteger, 3), ber(ldapOctets, []byte("cn=x")), ber(0x80, password))))
	}
	for name, message := range map[string]string{
		"a long one":                 bind([]byte{1}, make([]byte, ldapLook)),
		"a number of too many bytes": bind(bytes.Repeat([]byte{1}, 20), []byte("secret")),
	} {
		for _, hide := range []bool{true, false} {
			sp := newSplice(t)
			sp.HideAuth = hide
			if err := play(t, LDAP, sp, []step{c(message, "=")}, 0); (err != nil) != hide {
				t.Errorf("%s, hidden: %v: %v", name, hide, err)
			}
		}
	}
}
