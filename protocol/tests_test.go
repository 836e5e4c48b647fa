package protocol

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
)

// testRow is one test of some protocols on a server whose part is written down:
// what it says behind each thing that comes; "!" marks what it says unasked, and
// "TLS" is a handshake.
type testRow struct {
	of     []starttls.Protocol
	id     string
	before []string // in clear, before the request for TLS
	run    []string
	want   string // fault, harmless, sound, nothing (to test) or untold
	hello  starttls.Hello
}

func one(p starttls.Protocol) []starttls.Protocol { return []starttls.Protocol{p} }

var (
	mails   = []starttls.Protocol{SMTP, Submission, LMTP}
	imaps   = []starttls.Protocol{IMAP, ACAP, MUPDATE}
	taggeds = []starttls.Protocol{ACAP, MUPDATE}
	streams = []starttls.Protocol{XMPPClient, XMPPServer}
	webs    = []starttls.Protocol{HTTP, IPP}
)

const (
	ehlo   = "250-x\r\n250 STARTTLS\r\n"
	banner = "!* ACAP (IMPLEMENTATION \"x\")\r\n* OK MUPDATE \"x\" \"x\" \"x\" \"x\"\r\n" // of either
	unwise = "q1 BAD what\r\n"
	stream = "<stream:stream id='1' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>"
	opened = stream + "</stream:features>"
)

// result is an LDAPResult.
func result(id int, tag byte, code int) string { return string(ldapReply(id, tag, code, "x")) }

func nbdSays(option, kind uint32) string { return string(nbdAnswer(option, kind, "")) }

var testRows = []testRow{
	{of: one(SMTP), id: "mx-requires-tls", run: []string{ehlo, "530 5.7.0 Must issue a STARTTLS command first\r\n"}, want: "fault"},
	{of: one(SMTP), id: "mx-requires-tls", run: []string{ehlo, "250 ok\r\n"}, want: "sound"},
	{of: one(SMTP), id: "mx-requires-tls", run: []string{ehlo, "450 later\r\n"}, want: "untold"},
	{of: one(Submission), id: "tls-not-required", run: []string{ehlo, "250 ok\r\n"}, want: "fault"},
	{of: one(LMTP), id: "tls-not-required", run: []string{ehlo, "250 ok\r\n"}, want: "harmless"},
	{of: mails[1:], id: "tls-not-required", run: []string{ehlo, "530 5.7.0 Must issue a STARTTLS command first\r\n"}, want: "sound"},
	{of: mails[1:], id: "tls-not-required", run: []string{ehlo, "530 5.7.0 Authentication required\r\n"}, want: "untold"},
	{of: mails, id: "starttls-twice", run: []string{"500 what\r\n", "220 go\r\n", "TLS"}, want: "fault"},
	{of: mails, id: "starttls-twice", run: []string{"500 what\r\n", "220 go\r\n"}, want: "harmless"},
	{of: mails, id: "starttls-twice", run: []string{"500 what\r\n", "503 TLS is on\r\n"}, want: "sound"},
	{of: mails, id: "starttls-twice", run: []string{"!220 welcome\r\n", "500 what\r\n"}, want: "untold"}, // greets again
	{of: mails, id: "starttls-args", run: []string{ehlo, "220 go\r\n"}, want: "fault"},
	{of: mails, id: "starttls-args", run: []string{ehlo, "501 what\r\n"}, want: "sound"},
	{of: mails, id: "requiretls-in-clear", run: []string{"250-x\r\n250 REQUIRETLS\r\n"}, want: "fault"},
	{of: mails, id: "requiretls-in-clear", run: []string{ehlo}, want: "sound"},
	{of: mails, id: "xclient", run: []string{"250-x\r\n250 XCLIENT NAME\r\n"}, want: "fault"},
	{of: mails, id: "xclient", run: []string{ehlo}, want: "sound"},
	{of: mails, id: "state-kept", before: []string{"250 ok\r\n"}, run: []string{"500 what\r\n", "250 ok\r\n", "250 ok\r\n", "503 need MAIL\r\n"}, want: "fault"},
	{of: mails, id: "state-kept", before: []string{"250 ok\r\n"}, run: []string{"500 what\r\n", "550 no such user\r\n", "250 ok\r\n", "503 need MAIL\r\n"}, want: "fault"},
	{of: mails, id: "state-kept", before: []string{"250 ok\r\n"}, run: []string{"500 what\r\n", "503 need MAIL\r\n", "250 ok\r\n", "503 need MAIL\r\n"}, want: "sound"},
	{of: mails, id: "state-kept", before: []string{"250 ok\r\n"}, run: []string{"500 what\r\n", "530 sign in\r\n", "250 ok\r\n", "530 sign in\r\n"}, want: "sound"},
	{of: mails, id: "state-kept", before: []string{"250 ok\r\n"}, run: []string{"500 what\r\n", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n"}, want: "untold"},
	{of: mails, id: "state-kept", before: []string{"530 no\r\n"}, want: "nothing"},
	{of: mails, id: "auth-cleartext", run: []string{ehlo, "535 5.7.8 bad credentials\r\n"}, want: "fault"},
	{of: mails, id: "auth-cleartext", run: []string{ehlo, "235 welcome\r\n"}, want: "fault"},
	{of: mails, id: "auth-cleartext", run: []string{ehlo, "538 5.7.11 encryption required\r\n"}, want: "sound"},
	{of: mails, id: "auth-cleartext", run: []string{ehlo, "535 not without TLS\r\n"}, want: "sound"},
	{of: mails, id: "sasl-half", before: []string{"334 \r\n"}, want: "fault"},
	{of: mails, id: "sasl-half", before: []string{"504 no\r\n"}, want: "nothing"},

	{of: imaps[:1], id: "starttls-twice", run: []string{unwise, "q1 OK go\r\n", "TLS"}, want: "fault"},
	{of: imaps[:1], id: "starttls-twice", run: []string{"!* OK again\r\n", unwise, "q1 BAD no\r\n"}, want: "sound"},
	{of: taggeds, id: "starttls-twice", run: []string{banner, unwise, "q1 OK go\r\n", "TLS"}, want: "fault"},
	{of: taggeds, id: "starttls-twice", run: []string{banner, unwise, "q1 BAD no\r\n"}, want: "sound"},
	{of: imaps, id: "starttls-args", run: []string{"q1 OK go\r\n"}, want: "fault"},
	{of: imaps, id: "starttls-args", run: []string{"* OK {3}\r\nabc\r\nq1 BAD no\r\n"}, want: "sound"},
	{of: imaps, id: "tls-not-required", run: []string{"+ \r\n"}, want: "fault"},
	{of: imaps, id: "tls-not-required", run: []string{"q1 NO [PRIVACYREQUIRED] no\r\n"}, want: "sound"},
	{of: imaps, id: "tls-not-required", run: []string{"q1 NO no\r\n"}, want: "untold"},
	{of: imaps, id: "sasl-half", before: []string{"+ \r\n"}, want: "fault"},
	{of: imaps, id: "sasl-half", before: []string{"q1 NO no\r\n"}, want: "nothing"},
	{of: imaps[:1], id: "auth-cleartext", run: []string{"q1 NO [AUTHENTICATIONFAILED] no\r\n"}, want: "fault"},
	{of: imaps[:1], id: "auth-cleartext", run: []string{"q1 OK welcome\r\n"}, want: "fault"},
	{of: imaps[:1], id: "auth-cleartext", run: []string{"q1 NO Login only available under a layer\r\n"}, want: "sound"},
	{of: taggeds, id: "auth-cleartext", run: []string{"q1 NO no such mechanism\r\n", "q1 NO bad password\r\n"}, want: "fault"},
	{of: taggeds, id: "auth-cleartext", run: []string{"q1 NO no\r\n", "q1 NO no\r\n"}, want: "sound"},
	{of: taggeds, id: "auth-cleartext", run: []string{"q1 NO no\r\n", "q1 NO (ENCRYPT-NEEDED) no\r\n"}, want: "sound"},
	{of: one(IMAP), id: "compress-clear", run: []string{"q1 OK go\r\n"}, want: "fault"},
	{of: one(IMAP), id: "compress-clear", run: []string{"q1 BAD no\r\n"}, want: "sound"},
	{of: one(IMAP), id: "password-invited", run: []string{"+ go on\r\n"}, want: "fault"},
	{of: one(IMAP), id: "password-invited", run: []string{"q1 BAD no\r\n"}, want: "sound"},

	{of: one(POP3), id: "tls-not-required", run: []string{"+OK\r\n"}, want: "fault"},
	{of: one(POP3), id: "tls-not-required", run: []string{"-ERR not without TLS\r\n"}, want: "sound"},
	{of: one(POP3), id: "starttls-twice", run: []string{"-ERR what\r\n", "+OK\r\n", "TLS"}, want: "fault"},
	{of: one(POP3), id: "starttls-twice", run: []string{"-ERR what\r\n", "-ERR no\r\n"}, want: "sound"},
	{of: one(POP3), id: "starttls-args", run: []string{"+OK\r\n"}, want: "fault"},
	{of: one(POP3), id: "starttls-args", run: []string{"-ERR no\r\n"}, want: "sound"},
	{of: one(POP3), id: "sasl-half", before: []string{"+ \r\n"}, want: "fault"},
	{of: one(POP3), id: "sasl-half", before: []string{"-ERR no\r\n"}, want: "nothing"},
	{of: one(POP3), id: "auth-cleartext", run: []string{"+OK\r\n", "-ERR [AUTH] no\r\n"}, want: "fault"},
	{of: one(POP3), id: "auth-cleartext", run: []string{"+OK\r\n", "-ERR not without TLS\r\n"}, want: "sound"},
	{of: one(POP3), id: "auth-cleartext", run: []string{"-ERR no\r\n"}, want: "sound"},
	{of: one(POP3), id: "state-kept", before: []string{"+OK\r\n"}, run: []string{"-ERR what\r\n", "-ERR [AUTH] no\r\n", "-ERR USER first\r\n"}, want: "fault"},
	{of: one(POP3), id: "state-kept", before: []string{"+OK\r\n"}, run: []string{"-ERR what\r\n", "-ERR USER first\r\n", "-ERR USER first\r\n"}, want: "sound"},
	{of: one(POP3), id: "state-kept", before: []string{"+OK\r\n"}, run: []string{"-ERR what\r\n", "-ERR [AUTH] one\r\n", "-ERR [AUTH] two\r\n"}, want: "untold"},
	{of: one(POP3), id: "state-kept", before: []string{"-ERR no\r\n"}, want: "nothing"},
	{of: one(POP3), id: "capa-missing", run: []string{"-ERR what\r\n"}, want: "fault"},
	{of: one(POP3), id: "capa-missing", run: []string{"+OK\r\n"}, want: "sound"},
	{of: one(POP3), id: "apop-clear", hello: starttls.Hello{Greeting: []byte("+OK <1@x>\r\n")}, run: []string{"-ERR [AUTH] no\r\n"}, want: "fault"},
	{of: one(POP3), id: "apop-clear", hello: starttls.Hello{Greeting: []byte("+OK <1@x>\r\n")}, run: []string{"-ERR what\r\n"}, want: "sound"},
	{of: one(POP3), id: "apop-clear", hello: starttls.Hello{Greeting: []byte("+OK\r\n")}, want: "nothing"},

	{of: one(Sieve), id: "tls-not-required", run: []string{"\"\"\r\n"}, want: "fault"},
	{of: one(Sieve), id: "tls-not-required", run: []string{"NO (ENCRYPT-NEEDED)\r\n"}, want: "sound"},
	{of: one(Sieve), id: "starttls-twice", run: []string{"!\"SASL\" \"\"\r\nOK\r\n", "NO\r\n", "OK\r\n", "TLS"}, want: "fault"},
	{of: one(Sieve), id: "starttls-twice", run: []string{"!\"SASL\" \"\"\r\nOK\r\n", "NO\r\n", "NO\r\n"}, want: "sound"},
	{of: one(Sieve), id: "starttls-args", run: []string{"OK\r\n"}, want: "fault"},
	{of: one(Sieve), id: "starttls-args", run: []string{"NO\r\n"}, want: "sound"},
	{of: one(Sieve), id: "sasl-half", before: []string{"{0}\r\n"}, want: "fault"},
	{of: one(Sieve), id: "sasl-half", before: []string{"NO\r\n"}, want: "nothing"},
	{of: one(Sieve), id: "auth-cleartext", run: []string{"NO \"what\"\r\n", "NO \"bad password\"\r\n"}, want: "fault"},
	{of: one(Sieve), id: "auth-cleartext", run: []string{"NO \"Authentication Error\"\r\n", "NO \"Authentication Error\"\r\n"}, want: "sound"},

	{of: one(NNTP), id: "tls-not-required", run: []string{"381 password\r\n"}, want: "fault"},
	{of: one(NNTP), id: "tls-not-required", run: []string{"483 no\r\n"}, want: "sound"},
	{of: one(NNTP), id: "starttls-twice", run: []string{"500 what\r\n", "382 go\r\n", "TLS"}, want: "fault"},
	{of: one(NNTP), id: "starttls-twice", run: []string{"500 what\r\n", "502 no\r\n"}, want: "sound"},
	{of: one(NNTP), id: "starttls-args", run: []string{"382 go\r\n"}, want: "fault"},
	{of: one(NNTP), id: "starttls-args", run: []string{"501 no\r\n"}, want: "sound"},
	{of: one(NNTP), id: "state-kept", before: []string{"215\r\na.b 2 1 y\r\na.c 2 1 y\r\n.\r\n", "211 2 1 2 a.b\r\n"}, run: []string{"500 what\r\n", "223 1 <x@y>\r\n"}, want: "fault"},
	{of: one(NNTP), id: "state-kept", before: []string{"215\r\na.b 2 1 y\r\n.\r\n", "211 2 1 2 a.b\r\n"}, run: []string{"500 what\r\n", "412 no group\r\n"}, want: "sound"},
	{of: one(NNTP), id: "state-kept", before: []string{"215\r\na.b 2 1 y\r\n.\r\n", "211 2 1 2 a.b\r\n"}, run: []string{"500 what\r\n", "480 sign in\r\n"}, want: "untold"},
	{of: one(NNTP), id: "state-kept", before: []string{"215\r\n.\r\n"}, want: "nothing"},
	{of: one(NNTP), id: "state-kept", before: []string{"480 sign in\r\n"}, want: "nothing"},
	{of: one(NNTP), id: "mode-reader-in-tls", run: []string{"101\r\nMODE-READER\r\n.\r\n"}, want: "fault"},
	{of: one(NNTP), id: "mode-reader-in-tls", run: []string{"101\r\nREADER\r\n.\r\n"}, want: "sound"},
	{of: one(NNTP), id: "auth-cleartext", run: []string{"381 password\r\n", "481 no\r\n"}, want: "fault"},
	{of: one(NNTP), id: "auth-cleartext", run: []string{"381 password\r\n", "483 no\r\n"}, want: "sound"},

	{of: one(FTP), id: "tls-not-required", run: []string{"331 password\r\n"}, want: "fault"},
	{of: one(FTP), id: "tls-not-required", run: []string{"530 AUTH TLS first\r\n"}, want: "sound"},
	{of: one(FTP), id: "starttls-twice", run: []string{"500 what\r\n", "234 go\r\n", "TLS"}, want: "fault"},
	{of: one(FTP), id: "starttls-twice", run: []string{"500 what\r\n", "503 no\r\n"}, want: "sound"},
	{of: one(FTP), id: "starttls-args", run: []string{"234 go\r\n"}, want: "fault"},
	{of: one(FTP), id: "starttls-args", run: []string{"504 no\r\n"}, want: "sound"},
	{of: one(FTP), id: "auth-cleartext", run: []string{"331 password\r\n", "530 no\r\n"}, want: "fault"},
	{of: one(FTP), id: "auth-cleartext", run: []string{"331 password\r\n", "421 no\r\n"}, want: "sound"},
	{of: one(FTP), id: "state-kept", before: []string{"331 password\r\n"}, run: []string{"500 what\r\n", "530 no\r\n", "503 USER first\r\n"}, want: "fault"},
	{of: one(FTP), id: "state-kept", before: []string{"331 password\r\n"}, run: []string{"500 what\r\n", "503 USER first\r\n", "503 USER first\r\n"}, want: "sound"},
	{of: one(FTP), id: "auth-alias", run: []string{"334 go\r\n"}, want: "fault"},
	{of: one(FTP), id: "auth-alias", run: []string{"504 no\r\n"}, want: "sound"},
	{of: one(FTP), id: "prot-no-pbsz", run: []string{"500 what\r\n", "200 ok\r\n"}, want: "fault"},
	{of: one(FTP), id: "prot-no-pbsz", run: []string{"500 what\r\n", "503 no\r\n"}, want: "sound"},
	{of: one(FTP), id: "prot-clear", run: []string{"500 what\r\n", "200 ok\r\n", "200 ok\r\n"}, want: "fault"},
	{of: one(FTP), id: "prot-clear", run: []string{"500 what\r\n", "200 ok\r\n", "534 no\r\n"}, want: "sound"},
	{of: one(FTP), id: "prot-clear", run: []string{"500 what\r\n", "530 no\r\n"}, want: "nothing"},
	{of: one(FTP), id: "ccc", run: []string{"500 what\r\n", "200 ok\r\n"}, want: "fault"},
	{of: one(FTP), id: "ccc", run: []string{"500 what\r\n", "533 no\r\n"}, want: "sound"},

	{of: one(LDAP), id: "tls-not-required", run: []string{result(1, ldapSearchDone, ldapNoSuchObject)}, want: "fault"},
	{of: one(LDAP), id: "tls-not-required", run: []string{result(1, ldapSearchDone, ldapConfidentiality)}, want: "sound"},
	{of: one(LDAP), id: "tls-not-required", run: []string{result(1, ldapSearchDone, ldapOperationsError)}, want: "untold"},
	{of: one(LDAP), id: "starttls-twice", run: []string{result(1, ldapExtendedResponse, ldapSuccess), "TLS"}, want: "fault"},
	{of: one(LDAP), id: "starttls-twice", run: []string{result(1, ldapExtendedResponse, ldapOperationsError)}, want: "sound"},
	{of: one(LDAP), id: "starttls-args", run: []string{result(1, ldapExtendedResponse, ldapSuccess)}, want: "fault"},
	{of: one(LDAP), id: "starttls-args", run: []string{result(1, ldapExtendedResponse, ldapProtocolError)}, want: "sound"},
	{of: one(LDAP), id: "auth-cleartext", run: []string{result(1, ldapBindResponse, ldapBadCredentials)}, want: "fault"},
	{of: one(LDAP), id: "auth-cleartext", run: []string{result(1, ldapBindResponse, ldapConfidentiality)}, want: "sound"},
	{of: one(LDAP), id: "auth-before-tls", run: []string{rootDSE("PLAIN")}, want: "fault"},
	{of: one(LDAP), id: "auth-before-tls", run: []string{rootDSE("SCRAM-SHA-256")}, want: "sound"},
	{of: one(LDAP), id: "outstanding", before: []string{}, want: "fault"},

	{of: one(XMPPClient), id: "tls-not-required", run: []string{stream + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>"}, want: "fault"},
	{of: one(XMPPServer), id: "tls-not-required", run: []string{stream + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"}, want: "fault"},
	{of: streams, id: "tls-not-required", run: []string{stream + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"}, want: "sound"},
	{of: streams, id: "tls-not-required", run: []string{opened}, want: "nothing"},
	{of: streams, id: "starttls-twice", run: []string{opened, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "TLS"}, want: "fault"},
	{of: streams, id: "starttls-twice", run: []string{opened, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"}, want: "sound"},
	{of: streams, id: "compress-clear", run: []string{opened, "<compressed xmlns='http://jabber.org/protocol/compress'/>"}, want: "fault"},
	{of: streams, id: "compress-clear", run: []string{opened, "<failure xmlns='http://jabber.org/protocol/compress'/>"}, want: "sound"},
	{of: one(XMPPClient), id: "auth-cleartext", run: []string{opened, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"}, want: "fault"},
	{of: one(XMPPClient), id: "auth-cleartext", run: []string{opened, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><encryption-required/></failure>"}, want: "sound"},

	{of: one(IRC), id: "starttls-twice", run: []string{":x 670 * :go\r\n", "TLS"}, want: "fault"},
	{of: one(IRC), id: "starttls-twice", run: []string{":x 691 * :no\r\n"}, want: "sound"},
	{of: one(IRC), id: "starttls-late", before: []string{":x 001 a :hi\r\n:x 422 a :none\r\n"}, want: "fault"},
	{of: one(IRC), id: "starttls-late", before: []string{"PING :1\r\n", ":x 001 a :hi\r\n:x 376 a :end\r\n:x NOTICE a :x\r\n"}, want: "fault"},
	{of: one(IRC), id: "starttls-late", before: []string{"ERROR :no\r\n"}, want: "nothing"},
	{of: one(IRC), id: "sts-capability", hello: starttls.Hello{Caps: []string{"sts=port=6697"}}, run: []string{":x CAP * LS :x\r\n"}, want: "fault"},
	{of: one(IRC), id: "sts-capability", hello: starttls.Hello{Caps: []string{"sts=duration=1"}}, run: []string{":x CAP * LS :sts=duration=1\r\n"}, want: "fault"},
	{of: one(IRC), id: "sts-capability", hello: starttls.Hello{Caps: []string{"sts=port=6697"}}, run: []string{":x CAP * LS :sts=duration=1\r\n"}, want: "sound"},
	{of: one(IRC), id: "sts-capability", run: []string{":x CAP * LS :x\r\n"}, want: "nothing"},
	{of: one(IRC), id: "auth-cleartext", run: []string{":x CAP * LS :sasl\r\n", ":x CAP * ACK :sasl\r\n", "AUTHENTICATE +\r\n", ":x 904 * :no\r\n"}, want: "fault"},
	{of: one(IRC), id: "auth-cleartext", run: []string{":x CAP * LS :sasl\r\n", ":x CAP * NAK :sasl\r\n"}, want: "sound"},
	{of: one(IRC), id: "auth-cleartext", run: []string{":x CAP * LS :sasl\r\n", ":x CAP * ACK :sasl\r\n", "AUTHENTICATE +\r\n", ":x 904 * :not without TLS\r\n"}, want: "sound"},

	{of: one(PostgreSQL), id: "tls-not-required", run: []string{string(pgPacket('R', "\x00\x00\x00\x05abcd"))}, want: "fault"},
	{of: one(PostgreSQL), id: "tls-not-required", run: []string{string(pgError("FATAL", "28000", "no pg_hba.conf entry, no encryption"))}, want: "sound"},
	{of: one(PostgreSQL), id: "tls-not-required", run: []string{string(pgError("FATAL", "3D000", "no such database"))}, want: "untold"},
	{of: one(PostgreSQL), id: "auth-cleartext", run: []string{string(pgPacket('R', "\x00\x00\x00\x03"))}, want: "fault"},
	{of: one(PostgreSQL), id: "auth-cleartext", run: []string{string(pgPacket('R', "\x00\x00\x00\x05abcd"))}, want: "sound"},
	{of: one(PostgreSQL), id: "starttls-twice", run: []string{"S", "TLS"}, want: "fault"},
	{of: one(PostgreSQL), id: "starttls-twice", run: []string{string(pgError("FATAL", "0A000", "what"))}, want: "sound"},
	{of: one(PostgreSQL), id: "direct-no-alpn", run: []string{"TLS", string(pgPacket('R', "\x00\x00\x00\x03"))}, want: "fault"},
	{of: one(PostgreSQL), id: "direct-no-alpn", run: []string{string(pgError("FATAL", "08P01", "what"))}, want: "sound"},

	{of: one(MySQL), id: "tls-not-required", run: []string{string(myError(2, myErrDenied, "#28000Access denied"))}, want: "fault"},
	{of: one(MySQL), id: "tls-not-required", run: []string{string(myPacket(2, []byte("\xfecaching_sha2_password\x00x")))}, want: "fault"},
	{of: one(MySQL), id: "tls-not-required", run: []string{string(myError(2, myErrInsecure, "#HY000no"))}, want: "sound"},
	{of: one(MySQL), id: "tls-not-required", run: []string{string(myError(2, 1130, "#HY000Host is not allowed"))}, want: "untold"},
	{of: one(MySQL), id: "auth-cleartext", run: []string{string(myPacket(2, []byte("\xfe"+myClearPassword+"\x00")))}, want: "fault"},
	{of: one(MySQL), id: "auth-cleartext", run: []string{string(myError(2, myErrDenied, "#28000Access denied"))}, want: "sound"},

	{of: one(TDS), id: "tls-not-required", run: []string{string(tdsMessage(tdsReply, prelogin("", tdsNotSup)))}, want: "fault"},
	{of: one(TDS), id: "tls-not-required", run: []string{string(tdsMessage(tdsReply, prelogin("", tdsReq)))}, want: "sound"},
	{of: one(RDP), id: "tls-not-required", run: []string{string(rdpConnection(rdpConfirm, rdpAnswers, 0))}, want: "fault"},
	{of: one(RDP), id: "tls-not-required", run: []string{string(rdpConnection(rdpConfirm, rdpFails, 5))}, want: "sound"},
	{of: one(RDP), id: "tls-not-required", run: []string{string(rdpConnection(rdpConfirm, rdpFails, rdpNoTLS))}, want: "untold"},
	{of: one(VNC), id: "tls-not-required", run: []string{"\x02\x13\x02", "\x00\x02", "\x00\x01\x00\x00\x01\x04"}, want: "fault"},
	{of: one(VNC), id: "tls-not-required", run: []string{"\x01\x13", "\x00\x02", "\x00\x01\x00\x00\x01\x00"}, want: "fault"},
	{of: one(VNC), id: "tls-not-required", run: []string{"\x01\x13", "\x00\x02", "\x00\x01\x00\x00\x01\x04"}, want: "sound"},
	{of: one(VNC), id: "anonymous-tls", run: []string{"\x01\x13", "\x00\x02", "\x00\x01\x00\x00\x01\x01"}, want: "fault"},
	{of: one(VNC), id: "anonymous-tls", run: []string{"\x01\x13", "\x00\x02", "\x00\x01\x00\x00\x01\x04"}, want: "sound"},
	{of: one(NBD), id: "tls-not-required", run: []string{string(nbdAnswer(nbdList, nbdServer, "\x00\x00\x00\x01a")) + nbdSays(nbdList, nbdAck), nbdSays(nbdInfo, nbdAck)}, want: "fault"},
	{of: one(NBD), id: "tls-not-required", run: []string{nbdSays(nbdList, nbdAck), nbdSays(nbdInfo, nbdErrTLSReqd)}, want: "sound"},
	{of: one(NBD), id: "tls-not-required", run: []string{nbdSays(nbdList, nbdErrTLSReqd)}, want: "sound"},
	{of: one(NBD), id: "tls-not-required", run: []string{nbdSays(nbdList, nbdAck), nbdSays(nbdInfo, nbdErrUnsup)}, want: "untold"},
	{of: one(NBD), id: "starttls-twice", run: []string{nbdSays(nbdStartTLS, nbdAck), "TLS"}, want: "fault"},
	{of: one(NBD), id: "starttls-twice", run: []string{nbdSays(nbdStartTLS, nbdErrInvalid)}, want: "sound"},
	{of: one(NBD), id: "starttls-args", run: []string{nbdSays(nbdStartTLS, nbdAck)}, want: "fault"},
	{of: one(NBD), id: "starttls-args", run: []string{nbdSays(nbdStartTLS, nbdErrInvalid)}, want: "sound"},
	{of: one(NATS), id: "tls-not-required", run: []string{"PONG\r\n"}, want: "fault"},
	{of: one(NATS), id: "tls-not-required", run: []string{"+OK\r\n-ERR 'Authorization Violation'\r\n"}, want: "fault"},
	{of: one(NATS), id: "tls-not-required", run: []string{"-ERR 'Secure Connection - TLS Required'\r\n"}, want: "sound"},
	{of: one(NATS), id: "tls-not-required", run: []string{"-ERR 'what'\r\n"}, want: "untold"},
	{of: one(NATS), id: "auth-cleartext", run: []string{"-ERR 'Authorization Violation'\r\n"}, want: "fault"},
	{of: one(NATS), id: "auth-cleartext", run: []string{"-ERR 'Secure Connection - TLS Required'\r\n"}, want: "sound"},
	{of: one(NATS), id: "auth-cleartext", run: []string{"PONG\r\n"}, want: "nothing"},
	{of: one(AMQP), id: "tls-not-required", run: []string{amqpSASL + string(amqpFrame(1, amqpMechanisms, "\xe0\x12\x02\xa3\x05PLAIN\x09ANONYMOUS"))}, want: "fault"},
	{of: one(AMQP), id: "tls-not-required", run: []string{amqpTLS}, want: "sound"},
	{of: one(AMQP), id: "starttls-twice", run: []string{amqpTLS, "TLS"}, want: "fault"},
	{of: one(AMQP), id: "starttls-twice", run: []string{amqpPlain}, want: "sound"},
	{of: one(AMQP), id: "auth-cleartext", run: []string{amqpSASL + string(amqpFrame(1, amqpMechanisms, "\xe0\x12\x02\xa3\x05PLAIN\x09ANONYMOUS")), string(amqpFrame(1, amqpOutcome, "\x50\x01"))}, want: "fault"},
	{of: one(AMQP), id: "auth-cleartext", run: []string{amqpSASL + string(amqpFrame(1, amqpMechanisms, "\xa3\x05OTHER"))}, want: "sound"},
	{of: webs, id: "tls-not-required", run: []string{"HTTP/1.1 404 Not Found\r\n\r\n"}, want: "fault"},
	{of: webs, id: "tls-not-required", run: []string{"HTTP/1.1 426 Upgrade Required\r\n\r\n"}, want: "sound"},
	{of: webs, id: "tls-not-required", run: []string{"HTTP/1.1 301 Moved\r\nLocation: https://x/\r\n\r\n"}, want: "sound"},
	{of: webs, id: "tls-not-required", run: []string{"HTTP/1.1 500 Oh\r\n\r\n"}, want: "untold"},
	{of: webs, id: "upgrade-no-connection", run: []string{"HTTP/1.1 101 Switching Protocols\r\n\r\n"}, want: "fault"},
	{of: webs, id: "upgrade-no-connection", run: []string{"HTTP/1.1 200 OK\r\n\r\n"}, want: "sound"},
	{of: one(NUT), id: "tls-not-required", run: []string{"OK\n"}, want: "harmless"},
	{of: one(NUT), id: "tls-not-required", run: []string{"ERR ACCESS-DENIED\n"}, want: "sound"},
	{of: one(NUT), id: "starttls-twice", run: []string{"ERR UNKNOWN-COMMAND\n", "OK STARTTLS\n", "TLS"}, want: "fault"},
	{of: one(NUT), id: "starttls-twice", run: []string{"ERR UNKNOWN-COMMAND\n", "ERR ALREADY-SSL-MODE\n"}, want: "sound"},
	{of: one(NUT), id: "starttls-args", run: []string{"OK STARTTLS\n"}, want: "fault"},
	{of: one(NUT), id: "starttls-args", run: []string{"ERR INVALID-ARGUMENT\n"}, want: "sound"},
	{of: one(Citadel), id: "tls-not-required", run: []string{"300 password\n"}, want: "harmless"},
	{of: one(Citadel), id: "tls-not-required", run: []string{"570 no such user\n"}, want: "harmless"},
	{of: one(Citadel), id: "tls-not-required", run: []string{"550 STLS first\n"}, want: "sound"},
	{of: one(Citadel), id: "starttls-twice", run: []string{"530 what\n", "200 go\n", "TLS"}, want: "fault"},
	{of: one(Citadel), id: "starttls-twice", run: []string{"530 what\n", "580 no\n"}, want: "sound"},
	{of: one(Radmind), id: "tls-not-required", run: []string{"230 x\r\n"}, want: "fault"},
	{of: one(Radmind), id: "tls-not-required", run: []string{"530 STARTTLS first\r\n"}, want: "sound"},
	{of: one(Radmind), id: "starttls-twice", run: []string{"500 what\r\n", "220 go\r\n", "TLS"}, want: "fault"},
	{of: one(Radmind), id: "starttls-twice", run: []string{"500 what\r\n", "500 no\r\n"}, want: "sound"},
	{of: one(Radmind), id: "starttls-args", run: []string{"220 go\r\n"}, want: "fault"},
	{of: one(Radmind), id: "starttls-args", run: []string{"501 no\r\n"}, want: "sound"},
	{of: one(Kerberos), id: "tls-not-required", run: []string{kerberosSays(krbErrUnknown)}, want: "harmless"},
	{of: one(Kerberos), id: "tls-not-required", run: []string{kerberosSays(krbErrPolicy)}, want: "sound"},
	{of: one(Kerberos), id: "starttls-twice", run: []string{"\x00\x00\x00\x00", "TLS"}, want: "fault"},
	{of: one(Kerberos), id: "starttls-twice", run: []string{kerberosSays(krbErrTooLong)}, want: "sound"},
	{of: one(Kerberos), id: "starttls-args", run: []string{"\x00\x00\x00\x00"}, want: "fault"},
	{of: one(Kerberos), id: "starttls-args", run: []string{kerberosSays(krbErrTooLong)}, want: "sound"},
	{of: one(Kerberos), id: "starttls-args", run: []string{"~W0U"}, want: "sound"}, // Shishi's error, without its length
	{of: one(RPC), id: "starttls-twice", run: []string{string(rpcGrant(0x73746c73 + rpcAuthTLS)), "TLS"}, want: "fault"},
	{of: one(RPC), id: "starttls-twice", run: []string{string(rpcWords("", 0x73746c73+rpcAuthTLS, rpcReply, 0, 0, 0, 0))}, want: "sound"},
	{of: one(Telnet), id: "tls-not-required", run: []string{"!\xff\xfd\x2eWelcome\r\nlogin:"}, want: "fault"},
	{of: one(BEEP), id: "tls-not-required", hello: starttls.Hello{Caps: []string{beepTLS, "http://x"}}, run: []string{beepFrame("RPY", 1, 0, beepXML("<profile uri='http://x' />"))}, want: "harmless"},
	{of: one(BEEP), id: "tls-not-required", hello: starttls.Hello{Caps: []string{beepTLS, "http://x"}}, run: []string{beepFrame("ERR", 1, 0, beepXML("<error code='550'>no</error>"))}, want: "sound"},
	{of: one(BEEP), id: "tls-not-required", hello: starttls.Hello{Caps: []string{beepTLS}}, want: "sound"},
	{of: one(BEEP), id: "starttls-twice", run: []string{"!" + beepFrame("RPY", 0, 0, beepXML("<greeting />")), beepFrame("RPY", 1, 0, beepXML(beepProfile(beepTLS, "<proceed />"))), "TLS"}, want: "fault"},
	{of: one(BEEP), id: "starttls-twice", run: []string{"!" + beepFrame("RPY", 0, 0, beepXML("<greeting />")), beepFrame("ERR", 1, 0, beepXML("<error code='550'>no</error>"))}, want: "sound"},
	{of: one(Bacula), id: "tls-not-required", run: []string{string(baculaMessage(baculaChallenge + " <1@x> ssl=0\n"))}, want: "fault"},
	{of: one(Bacula), id: "tls-not-required", run: []string{string(baculaMessage(baculaNo))}, want: "sound"},
	{of: one(MySQLX), id: "tls-not-required", run: []string{string(xMessage(xAuthAsk, pbBytes(1, []byte("nonce"))))}, want: "fault"},
	{of: one(MySQLX), id: "tls-not-required", run: []string{string(xFailure(myErrInsecure, "secure transport required"))}, want: "sound"},
	{of: one(MySQLX), id: "starttls-twice", run: []string{string(xMessage(xCaps, nil)), string(xMessage(xOK, nil)), "TLS"}, want: "fault"},
	{of: one(MySQLX), id: "starttls-twice", run: []string{string(xMessage(xCaps, nil)), string(xFailure(xErrPrepare, "no"))}, want: "sound"},
}

func rootDSE(mechanism string) string {
	attribute := ber(ldapMessage, ber(ldapOctets, []byte("supportedSASLMechanisms")), ber(0x31, ber(ldapOctets, []byte(mechanism))))
	return string(ldapRequest(2, ber(ldapSearchEntry, ber(ldapOctets), ber(ldapMessage, attribute)))) + result(2, ldapSearchDone, ldapSuccess)
}

func kerberosSays(code int) string {
	return string(krbMessage(ber(krbAPP(30), ber(0x30, krbField(6, krbInt(code))))))
}

// Each test finds its fault, and no other, in what a server says.
func TestTests(t *testing.T) {
	_, server := pair(t)
	for _, row := range testRows {
		for _, p := range row.of {
			all := p.(starttls.Tester).Tests()
			i := slices.IndexFunc(all, func(test starttls.Test) bool { return test.ID == row.id })
			if i < 0 {
				t.Errorf("%s has no test %s", p.Info().Name, row.id)
				continue
			}
			if got, detail := judge(t, all[i], row, server.TLS); got != row.want {
				t.Errorf("%s %s %q: %s, want %s: %s", p.Info().Name, row.id, row.run, got, row.want, detail)
			}
		}
	}
}

// Every test of every protocol is shown a server with its fault, and one without.
func TestTestsAreComplete(t *testing.T) {
	for _, p := range All() {
		name := p.Info().Name
		tester, ok := p.(starttls.Tester)
		if !ok {
			t.Errorf("%s has no tests", name)
			continue
		}
		for _, test := range tester.Tests() {
			seen := map[string]bool{"sound": test.Before != nil && test.Run != nil && test.ID != "state-kept" || name == "telnet"} // a server without the fault refuses TLS, or closes
			for _, row := range testRows {
				if row.id == test.ID && slices.ContainsFunc(row.of, func(q starttls.Protocol) bool { return q.Info().Name == name }) {
					seen[strings.Replace(row.want, "harmless", "fault", 1)] = true
				}
			}
			if kept := strings.HasPrefix(name, "xmpp") && test.ID == "state-kept"; !kept && (!seen["fault"] || !seen["sound"]) { // TestXMPPStreamIsTheSame
				t.Errorf("%s %s: a server with the fault: %v, one without: %v", name, test.ID, seen["fault"], seen["sound"])
			}
		}
	}
}

// judge makes one test, on the row's server.
func judge(t *testing.T, test starttls.Test, row testRow, cert *tls.Config) (verdict, detail string) {
	t.Helper()
	if test.Before != nil {
		err := spoken(t, row.before, cert, starttls.WireConfig{ServerName: "x.test"}, func(w *starttls.Wire) error { return test.Before(w) })
		if err != nil {
			return verdictOf(starttls.Verdict{}, err), err.Error()
		}
	}
	var v starttls.Verdict
	cfg := starttls.WireConfig{ServerName: "x.test", TLS: !test.Clear, Upgraded: !test.Clear, Before: &row.hello}
	err := spoken(t, row.run, cert, cfg, func(w *starttls.Wire) (err error) {
		v, err = test.Run(w)
		return err
	})
	if err != nil {
		return verdictOf(v, err), err.Error()
	}
	return verdictOf(v, nil), v.Detail
}

func verdictOf(v starttls.Verdict, err error) string {
	switch {
	case errors.Is(err, starttls.ErrNoObject):
		return "nothing"
	case err != nil:
		return "untold"
	case v.Fault && v.Harmless:
		return "harmless"
	case v.Fault:
		return "fault"
	}
	return "sound"
}

// spoken has say speak with a server's part.
func spoken(t *testing.T, part []string, cert *tls.Config, cfg starttls.WireConfig, say func(*starttls.Wire) error) error {
	t.Helper()
	ours, theirs := loopback(t) // no net.Pipe: both sides may speak at once
	defer ours.Close()
	go func() {
		defer theirs.Close()
		theirs.SetDeadline(time.Now().Add(20 * time.Second))
		nc, buf := net.Conn(theirs), make([]byte, 64<<10)
		for _, words := range part {
			if words == "TLS" {
				nc = tls.Server(nc, cert)
				if nc.(*tls.Conn).Handshake() != nil {
					return
				}
				continue
			}
			words, unasked := strings.CutPrefix(words, "!")
			if !unasked {
				if _, err := nc.Read(buf); err != nil {
					return
				}
			}
			if _, err := io.WriteString(nc, words); err != nil {
				return
			}
		}
		theirs.SetDeadline(time.Now().Add(100 * time.Millisecond)) // for last words
		io.Copy(io.Discard, theirs)
	}()
	w := starttls.NewWire(context.Background(), ours, cfg)
	defer w.Release()
	return say(w)
}

// A stream inside TLS that has the identifier of the one in clear is the old one.
func TestXMPPStreamIsTheSame(t *testing.T) {
	_, server := pair(t)
	for inside, want := range map[string]string{"1": "fault", "2": "sound", "": "nothing"} {
		all := XMPPClient.Tests()
		test := all[slices.IndexFunc(all, func(test starttls.Test) bool { return test.ID == "state-kept" })]
		err := spoken(t, []string{opened}, server.TLS, starttls.WireConfig{ServerName: "x.test"}, func(w *starttls.Wire) error {
			_, err := XMPPClient.open(w, &starttls.Hello{})
			return errors.Join(err, test.Before(w))
		})
		if err != nil {
			t.Fatal(err)
		}
		row := testRow{run: []string{strings.Replace(opened, "id='1'", "id='"+inside+"'", 1)}}
		test.Before = nil
		if got, detail := judge(t, test, row, server.TLS); got != want {
			t.Errorf("%q: %s, want %s: %s", inside, got, want, detail)
		}
	}
}

// Whatever a server says, each test ends, and reads no more than it may.
func FuzzTests(f *testing.F) {
	var all []starttls.Test
	for _, p := range All() {
		for _, test := range p.(starttls.Tester).Tests() {
			for _, row := range testRows {
				if row.id == test.ID && row.of[0].Info().Name == p.Info().Name {
					f.Add(uint16(len(all)), []byte(strings.TrimSuffix(strings.Join(append(slices.Clone(row.before), row.run...), ""), "TLS")))
				}
			}
			all = append(all, test)
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, data []byte) {
		test := all[int(n)%len(all)]
		steps := []func(*starttls.Wire) error{func(w *starttls.Wire) error { _, err := test.Run(w); return err }}
		if test.Before != nil {
			steps = append(steps, test.Before)
		}
		for _, step := range steps {
			s := scripted(data)
			w := wireTo(s, starttls.ClientSide)
			step(w)
			w.Release()
			if most := 64*len(data) + 8192; s.out.Len() > most {
				t.Errorf("%s: %d bytes in answer to %d", test.ID, s.out.Len(), len(data))
			}
		}
	})
}
