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
