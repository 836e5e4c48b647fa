package protocol

import (
	"strings"
	"testing"

	"example.org/starttls"
)

func TestPostgreSQLClient(t *testing.T) {
	const request = ">\x00\x00\x00\x08\x04\xd2\x16\x2f"
	testClient(t, PostgreSQL, []clientCase{
		{"granted", starttls.IfOffered, []string{request, "<S"}, "ok", "", func(h starttls.Hello) bool { return h.Offered && h.Greeting == nil }},
		{"no TLS", starttls.IfOffered, []string{request, "<N"}, "refused", "", func(h starttls.Hello) bool { return !h.Offered }},
		{"an error", starttls.IfOffered, []string{request, "<" + string(pgError("FATAL", "28000", "no"))}, "refused", "", nil},
		{"full", starttls.IfOffered, []string{request, "<" + string(pgError("FATAL", "53300", "too many"))}, "refused for now", "", nil},
		{"starting", starttls.IfOffered, []string{request, "<" + string(pgError("FATAL", "57P03", "starting up"))}, "refused for now", "", nil},
		{"could not fork", starttls.IfOffered, []string{request, "<Ecould not fork new process\x00"}, "refused for now", "", nil},
		{"GSSAPI's answer", starttls.IfOffered, []string{request, "<G"}, "reply", "", nil},
		{"no TLS wanted", starttls.NoAsk, nil, "ok", "", nil},
		{"gone", starttls.IfOffered, []string{request}, "end of file", "", nil},
	})
}

func TestPostgreSQLServer(t *testing.T) {
	request, gss, cancel := "<"+string(pgFirst(pgSSLRequest, nil)), "<"+string(pgFirst(pgGSSENCRequest, nil)), "<"+string(pgFirst(pgCancel, make([]byte, 8)))
	startup := "<" + string(pgFirst(pgVersion3, []byte("user\x00u\x00\x00")))
	inClear := ">" + string(pgError("FATAL", "28000", "no encryption: TLS is required"))
	testServer(t, PostgreSQL, []serverCase{
		{"granted", starttls.Offer{}, starttls.Hello{}, []string{request, ">S"}, "ok", true},
		{"GSSAPI first", starttls.Offer{}, starttls.Hello{}, []string{gss, ">N", request, ">S"}, "ok", true},
		{"nothing in clear", starttls.Offer{}, starttls.Hello{}, []string{startup, inClear}, "not upgraded", false},
		{"a cancel in clear", starttls.Offer{}, starttls.Hello{}, []string{cancel}, "not upgraded", false},
		{"declined", starttls.Offer{Mode: starttls.Decline}, starttls.Hello{}, []string{request, ">N", startup, inClear}, "not upgraded", false},
		{"hidden", starttls.Offer{Mode: starttls.Hide}, starttls.Hello{}, []string{request, ">N", startup[:9]}, "ok", false},
		{"optional", starttls.Offer{Mode: starttls.Optional}, starttls.Hello{}, []string{cancel[:9]}, "ok", false},
		{"other words", starttls.Offer{Reply: []byte("X")}, starttls.Hello{}, []string{request, ">X"}, "ok", true},
		{"too long to be it", starttls.Offer{}, starttls.Hello{}, []string{"<\x00\x00\x00\x09\x04\xd2\x16\x2f"}, "reply", false},
		{"a browser", starttls.Offer{}, starttls.Hello{}, []string{"<GET / HT"}, "reply", false},
	})
}

func TestPostgreSQLProbe(t *testing.T) {
	startup := ">" + string(pgFirst(pgVersion3, []byte("user\x00starttls-probe\x00database\x00postgres\x00\x00")))
	for _, c := range []struct{ answer, end, auth string }{
		{string(pgPacket('R', "\x00\x00\x00\x0aSCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00")), "ok", "SCRAM-SHA-256-PLUS SCRAM-SHA-256"},
		{string(pgPacket('v', "\x00\x00\x00\x00\x00\x00\x00\x00")) + string(pgPacket('R', "\x00\x00\x00\x03")), "ok", "PASSWORD"},
		{string(pgError("FATAL", "28000", "no pg_hba.conf entry")), "ok", ""},
		{"X\x00\x00\x00\x04", "reply", ""},
		{"R\x00\x00\x00\x03", "reply", ""},
		{"R\x7f\xff\xff\xff", "reply", ""},
	} {
		var h starttls.Hello
		got := talk(t, starttls.ClientSide, []string{startup, "<" + c.answer}, func(w *starttls.Wire) (err error) {
			h, err = PostgreSQL.Probe(w)
			return err
		})
		if got != c.end || strings.Join(h.Auth, " ") != c.auth {
			t.Errorf("%q: ends with %q, %+v", c.answer, got, h)
		}
	}
}

func FuzzPostgreSQL(f *testing.F) {
	for _, s := range []string{"S", "N", string(pgError("FATAL", "53300", "x")), "Ebare text\x00", string(pgPacket('R', "\x00\x00\x00\x05salt")),
		string(pgFirst(pgSSLRequest, nil)), string(pgFirst(pgVersion3, []byte("user\x00u\x00\x00"))) + string(pgPacket('p', "secret\x00")) + string(pgPacket('Q', "select 1\x00")) + "X\x00\x00\x00\x04"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, PostgreSQL, data) })
}
