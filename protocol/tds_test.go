package protocol

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"example.org/starttls"
)

func TestTDSClient(t *testing.T) {
	request := ">" + string(tdsMessage(tdsPrelogin, prelogin("", tdsOn)))
	answer := func(encryption byte) string {
		return "<" + string(tdsMessage(tdsReply, prelogin("15.0.4430", encryption)))
	}
	twoPackets := func() string {
		data := prelogin("15.0.4430", tdsOn)
		first, second := tdsMessage(tdsReply, data[:9]), tdsMessage(tdsReply, data[9:])
		first[1] = 0
		return "<" + string(first) + string(second)
	}
	software := func(h starttls.Hello) bool { return h.Software == "15.0.4430" }
	tooLong := tdsMessage(tdsReply, make([]byte, tdsMost))
	testClient(t, TDS, []clientCase{
		{"on", starttls.IfOffered, []string{request, answer(tdsOn)}, "ok", "", func(h starttls.Hello) bool { return h.Offered && !h.Required && software(h) }},
		{"required", starttls.IfOffered, []string{request, answer(tdsReq)}, "ok", "", func(h starttls.Hello) bool { return h.Offered && h.Required }},
		{"with client certificates", starttls.IfOffered, []string{request, answer(tdsOn | 0x80)}, "ok", "", nil},
		{"in two packets", starttls.IfOffered, []string{request, twoPackets()}, "ok", "", software},
		{"the sign-in alone", starttls.IfOffered, []string{request, answer(tdsOff)}, "refused", "", func(h starttls.Hello) bool { return !h.Offered && software(h) }},
		{"none", starttls.Always, []string{request, answer(tdsNotSup)}, "refused", "", func(h starttls.Hello) bool { return !h.Offered }},
		{"a value nobody knows", starttls.IfOffered, []string{request, answer(9)}, "reply", "", nil},
		{"an error instead", starttls.IfOffered, []string{request, "<" + string(tdsMessage(tdsReply, tdsToken(tdsError, []byte("\x9b\x42\x00\x00\x01\x14\x02\x00n\x00o\x00"))))}, "refused", "", nil},
		{"nothing of encryption", starttls.IfOffered, []string{request, "<" + string(tdsMessage(tdsReply, []byte{tdsOptionsEnd}))}, "reply", "", nil},
		{"another type", starttls.IfOffered, []string{request, "<" + string(tdsMessage(tdsPrelogin, prelogin("", tdsOn)))}, "reply", "", nil},
		{"a packet shorter than its head", starttls.IfOffered, []string{request, "<\x04\x01\x00\x07\x00\x00\x01\x00"}, "reply", "", nil},
		{"too long", starttls.IfOffered, []string{request, "<" + string(tooLong[:9])}, "limit", "", nil},
		{"no TLS wanted", starttls.NoAsk, nil, "ok", "", nil},
		{"gone", starttls.IfOffered, []string{request, answer(tdsOn)[:12]}, "end of file", "", nil},
	})
}

func TestTDSServer(t *testing.T) {
	says := func(encryption byte) string {
		return "<" + string(tdsMessage(tdsPrelogin, prelogin("", encryption)))
	}
	answers := func(encryption byte) string {
		return ">" + string(tdsMessage(tdsReply, prelogin("15.0.4430", encryption)))
	}
	login := "<" + string(login7("me"))
	h := starttls.Hello{Software: "15.0.4430"}
	mode := func(m starttls.OfferMode) starttls.Offer { return starttls.Offer{Mode: m} }
	testServer(t, TDS, []serverCase{
		{"granted", starttls.Offer{}, h, []string{says(tdsOn), answers(tdsOn)}, "ok", true},
		{"one that brings a certificate", starttls.Offer{}, h, []string{says(tdsOn | 0x80), answers(tdsOn)}, "ok", true},
		{"one that need not is told that it must", starttls.Offer{}, h, []string{says(tdsOff), answers(tdsReq)}, "ok", true},
		{"one that can not", starttls.Offer{}, h, []string{says(tdsNotSup), answers(tdsReq)}, "not upgraded", false},
		{"declined", mode(starttls.Decline), h, []string{says(tdsOn), answers(tdsNotSup)}, "end of file", false},
		{"hidden", mode(starttls.Hide), h, []string{says(tdsNotSup)}, "ok", false},
		{"hidden, and yet asked", mode(starttls.Hide), h, []string{says(tdsOn), answers(tdsNotSup), login}, "ok", false},
		{"optional, taken", mode(starttls.Optional), h, []string{says(tdsOn), answers(tdsOn)}, "ok", true},
		{"optional, not taken", mode(starttls.Optional), h, []string{says(tdsOff)}, "ok", false},
		{"no offer", mode(starttls.NoOffer), h, nil, "ok", false},
		{"another's words", starttls.Offer{Reply: []byte("hm")}, h, []string{says(tdsOn), ">hm"}, "ok", true},
		{"an old client", mode(starttls.Optional), h, []string{login}, "ok", false},
		{"not TDS", starttls.Offer{}, h, []string{"<GET / HTTP/1.1\r\n"}, "reply", false},
		{"PRELOGIN in two packets", starttls.Offer{}, h, []string{"<\x12\x00\x00\x1a\x00\x00\x01\x00"}, "reply", false},
	})
}

// A sign-in in clear is refused in words, and not kept.
func TestTDSSignInInClear(t *testing.T) {
	s := scripted(login7("me"))
	w := wireTo(s, starttls.ServerSide)
	_, err := TDS.Server(w, starttls.Hello{}, starttls.Offer{})
	said := readTDSTokens(s.out.Bytes()[tdsHead:])
	if !errors.Is(err, starttls.ErrNotUpgraded) || !strings.HasPrefix(said.failure, "18456 TLS is required") {
		t.Errorf("%v; it says %q", err, said.failure)
	}
}

func TestTDSServe(t *testing.T) {
	h := starttls.Hello{Software: "15.0.4430"}
	signIn := login7("me")[tdsHead:]
	binary.LittleEndian.PutUint16(signIn[login7Password:], uint16(len(signIn)))
	binary.LittleEndian.PutUint16(signIn[login7Password+2:], 2)
	signIn = append(signIn, 0xb3, 0xa5, 0x82, 0xa5) // "ar": 0x61 turned over is 0x16, and 0xb3 under the mask
	batch := append([]byte{4, 0, 0, 0}, ucs2("Select 1")...)
	welcome := tdsSignedIn(starttls.NewWire(t.Context(), scripted(nil), starttls.WireConfig{ServerName: "s.test"}), h, "me", []byte{4, 0, 0, 0x74})
	leaks, end := session(t, TDS, h, true,
		"<"+string(tdsMessage(tdsPrelogin, prelogin("", 4))), ">"+string(tdsMessage(tdsReply, prelogin("15.0.4430", 4))),
		"<"+string(tdsMessage(tdsLogin, signIn)), ">"+string(tdsMessage(tdsReply, welcome)),
		"<"+string(tdsMessage(tdsBatch, batch)), ">\x04\x01\x00\x25\x00\x00\x01\x00\x81\x01\x00\x00\x00\x00\x00\x00\x00\x38\x00\xd1\x01\x00\x00\x00\xfd\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00",
		"<"+string(tdsMessage(tdsCancel, nil)), ">\x04\x01\x00\x15\x00\x00\x01\x00\xfd\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"<"+string(tdsMessage(tdsRPC, nil)), ">"+string(tdsMessage(tdsReply, tdsEnd(0))))
	if end != "end of file" || len(leaks) != 3 || leaks[0].User != "me" || string(leaks[0].Secret) != "ar" {
		t.Errorf("ends with %q, heard %+v", end, leaks)
	}
}

// The wrapped connection gives what is in packets, then what follows as it is,
// and takes no byte too many.
func TestTDSWrap(t *testing.T) {
	packets := string(tdsMessage(tdsPrelogin, []byte("one "))) + string(tdsMessage(tdsReply, []byte("two ")))
	for size := range 9 {
		conn, unwrap := TDS.WrapHandshake(&slowBy{scripted([]byte(packets + "raw")), size + 1})
		got := make([]byte, 6) // into the middle of the second packet
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "one tw" {
			t.Fatalf("%q, %v", got, err)
		}
		unwrap()
		if rest, err := io.ReadAll(conn); err != nil || string(rest) != "o raw" {
			t.Errorf("behind the handshake comes %q, %v", rest, err)
		}
	}
}

// slowBy gives at most n bytes at a time.
type slowBy struct {
	*script
	n int
}

func (s *slowBy) Read(b []byte) (int, error) { return s.script.Read(b[:min(s.n, len(b))]) }

func TestTDSWrapRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"NOOP injected\r\n":                "NOOP ",
		"\x16\x03\x03\x00\x01\x00\x00\x00": "\x16\x03\x03\x00\x01", // TLS without a packet
		"\x12\x01\x00\x08\x00\x00\x01\x00": "\x12\x01\x00\x08\x00", // a packet without TLS
		"\x10\x01\x00\x09\x00\x00\x01\x00": "\x10\x01\x00\x09\x00",
	} {
		conn, _ := TDS.WrapHandshake(scripted([]byte(in)))
		_, err := conn.Read(make([]byte, 100))
		var bad tls.RecordHeaderError
		if !errors.As(err, &bad) || string(bad.RecordHeader[:]) != want {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// A write is one message, of packets that every client can take.
func TestTDSWrapWrites(t *testing.T) {
	flight := bytes.Repeat([]byte("x"), 2*(tdsPacket-tdsHead)+1)
	s := scripted(nil)
	conn, unwrap := TDS.WrapHandshake(s)
	if n, err := conn.Write(flight); n != len(flight) || err != nil {
		t.Fatal(n, err)
	}
	unwrap()
	conn.Write([]byte("raw"))
	var marks []byte
	for b := s.out.Bytes(); string(b) != "raw"; b = b[binary.BigEndian.Uint16(b[2:]):] {
		marks = append(marks, b[1])
	}
	back, _ := TDS.WrapHandshake(scripted(s.out.Bytes()[:s.out.Len()-3]))
	got, err := io.ReadAll(back)
	if !bytes.Equal(got, flight) || err != nil || string(marks) != "\x00\x00\x01" {
		t.Errorf("%d bytes of %d, %v; packets are marked %v", len(got), len(flight), err, marks)
	}
}

// Cleartext that an attacker puts into the last packet of the handshake is no
// part of the session.
func TestTDSCleartextInTheLastPacket(t *testing.T) {
	client, server := pair(t)
	a, b := loopback(t)
	cc, sc, cerr, serr := upgradeOver(t.Context(), TDS, client, server, a, &stuffed{Conn: b})
	if cerr != nil || serr != nil {
		t.Fatalf("client: %v; server: %v", cerr, serr)
	}
	sc.Write([]byte("said in TLS"))
	got := make([]byte, 100)
	if n, err := cc.Read(got); n != 0 || err == nil {
		t.Errorf("the session begins with %q, %v", got[:n], err)
	}
}

// stuffed puts junk into the packet of a server's last flight: its third write,
// behind the answer to PRELOGIN and the flight with the certificate.
type stuffed struct {
	net.Conn
	writes int
}

func (c *stuffed) Write(b []byte) (int, error) {
	if c.writes++; c.writes != 3 {
		return c.Conn.Write(b)
	}
	packet := append(bytes.Clone(b), junk...)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	_, err := c.Conn.Write(packet)
	return len(b), err
}

func FuzzTDS(f *testing.F) {
	for _, b := range [][]byte{tdsMessage(tdsPrelogin, prelogin("", tdsOn)), tdsMessage(tdsReply, prelogin("", tdsReq)), login7("me"),
		tdsMessage(tdsReply, tdsToken(tdsError, []byte("\x18\x48\x00\x00\x01\x0e\x01\x00n\x00\x00\x00\x01\x00\x00\x00"))),
		append(tdsMessage(tdsPrelogin, prelogin("", tdsNotSup)), tdsMessage(tdsBatch, append([]byte{4, 0, 0, 0}, ucs2("select 1")...))...)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPeer(t, TDS, data) })
}

// FuzzTDSWrap reads packets in pieces of any size: what comes out is what is in
// them, and never more.
func FuzzTDSWrap(f *testing.F) {
	f.Add(tdsMessage(tdsPrelogin, []byte("\x16\x03\x01")), byte(3))
	f.Add(append(tdsMessage(tdsReply, []byte("a")), "raw"...), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, size byte) {
		conn, _ := TDS.WrapHandshake(&slowBy{scripted(data), int(size) + 1})
		got, err := io.ReadAll(conn)
		if len(got) > len(data) {
			t.Fatalf("%d bytes of %d", len(got), len(data))
		}
		whole, _ := TDS.WrapHandshake(scripted(data))
		want, err2 := io.ReadAll(whole)
		if !bytes.Equal(got, want) || (err == nil) != (err2 == nil) {
			t.Errorf("in pieces of %d: %q, %v; at once: %q, %v", size, got, err, want, err2)
		}
	})
}
