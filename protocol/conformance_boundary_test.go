package protocol

import (
	"bytes"
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

const junk = "NOOP injected\r\n"

// Rule 1, from the client: bytes behind the request, in its segment or in a
// later one, never reach the session.
func TestInjectionBehindRequest(t *testing.T) {
	client, server := pair(t)
	each(t, func(t *testing.T, p starttls.Protocol) {
		for name, delay := range map[string]time.Duration{"one segment": -1, "later segment": 20 * time.Millisecond} {
			cfg := *client
			bare := false // there is no request, and so nothing to be behind: what comes is a command in clear
			cfg.OnAsk = func(msg []byte) []starttls.Segment {
				bare = len(msg) == 0
				if delay < 0 {
					return []starttls.Segment{{Data: append(slices.Clone(msg), junk...)}}
				}
				return []starttls.Segment{{Data: msg}, {Data: []byte(junk), Delay: delay}}
			}
			a, b := loopback(t)
			_, sc, _, serr := upgradeOver(t.Context(), p, &cfg, server, a, b)
			var injected *starttls.InjectedError
			var clear *starttls.CleartextError
			switch {
			case serr == nil || sc != nil:
				t.Errorf("%s: the server has a session", name)
			case bare && errors.Is(serr, starttls.ErrNotUpgraded):
			case delay < 0 && !errors.As(serr, &injected):
				t.Errorf("%s: %v", name, serr)
			case delay > 0 && !errors.As(serr, &injected) && !errors.As(serr, &clear):
				t.Errorf("%s: %v", name, serr)
			case injected != nil && !strings.HasPrefix(string(injected.Bytes), junk): // an eager client adds its ClientHello
				t.Errorf("%s: evidence %q", name, injected.Bytes)
			case strings.Contains(serr.Error(), junk[:4]): // rule 7: it might be a password
				t.Errorf("%s: the error shows what the client said: %v", name, serr)
			}
		}
	})
}

// Rule 1, from the server: bytes behind the go-ahead never reach the session.
func TestInjectionBehindGoAhead(t *testing.T) {
	client, server := pair(t)
	each(t, func(t *testing.T, p starttls.Protocol) {
		for name, delay := range map[string]time.Duration{"one segment": -1, "later segment": 20 * time.Millisecond} {
			cfg := *server
			cfg.OnGoAhead = func(msg []byte) []starttls.Segment {
				if delay < 0 {
					return []starttls.Segment{{Data: append(slices.Clone(msg), junk...)}}
				}
				return []starttls.Segment{{Data: msg}, {Data: []byte(junk), Delay: delay}}
			}
			a, b := loopback(t)
			cc, _, cerr, _ := upgradeOver(t.Context(), p, client, &cfg, a, b)
			var injected *starttls.InjectedError
			var clear *starttls.CleartextError
			// An eager client has no go-ahead to put anything behind: TLS finds it.
			if cc != nil || !errors.As(cerr, &injected) && !((delay > 0 || p.Info().EagerClient) && errors.As(cerr, &clear)) {
				t.Errorf("%s: %v", name, cerr)
			}
		}
	})
}

// A server that consents and has no TLS to give may say so in one segment: that
// is its alert, and no injection. Two alerts, or one that is only a warning, are.
func TestAlertBehindGoAhead(t *testing.T) {
	client, server := pair(t)
	const fatal, warning = "\x15\x03\x01\x00\x02\x02\x28", "\x15\x03\x01\x00\x02\x01\x28"
	each(t, func(t *testing.T, p starttls.Protocol) {
		if _, wraps := p.(starttls.HandshakeWrapper); wraps || p.Info().EagerClient {
			return
		}
		for alert, legitimate := range map[string]bool{fatal: true, fatal + fatal: false, warning: false} {
			cfg := *server
			cfg.OnGoAhead = func(msg []byte) []starttls.Segment {
				return []starttls.Segment{{Data: append(slices.Clone(msg), alert...)}}
			}
			a, b := loopback(t)
			cc, _, cerr, _ := upgradeOver(t.Context(), p, client, &cfg, a, b)
			var injected *starttls.InjectedError
			var said *net.OpError // with the alert, of which crypto/tls has no exported type here
			if cc != nil || errors.As(cerr, &injected) == legitimate || errors.As(cerr, &said) != legitimate {
				t.Errorf("%x: %v", alert, cerr)
			}
		}
	})
}

// A ClientHello in the segment of the request is legitimate (RFC 9051, section
// 6.2.1): the server's half leaves it unread, and the core feeds it to TLS. Not
// so where the handshake is wrapped, in whose protocols nothing may come early,
// in packets or not.
func TestEarlyClientHello(t *testing.T) {
	client, server := pair(t)
	hello := clientHello(t)
	each(t, func(t *testing.T, p starttls.Protocol) {
		w, wraps := p.(starttls.HandshakeWrapper)
		var begun [][]byte
		server := *server
		server.OnTLS = func(ahead []byte) { begun = append(begun, bytes.Clone(ahead)) }
		serr := hurry(t, p, client, &server, hello)
		var injected *starttls.InjectedError
		if wraps {
			if len(begun) > 0 {
				t.Error("TLS is said to begin where something was injected")
			}
			if !errors.As(serr, &injected) || !bytes.Equal(injected.Bytes, hello) {
				t.Errorf("want an injection, got %v", serr)
			}
			packets := scripted(nil)
			wrapped, _ := w.WrapHandshake(packets)
			wrapped.Write(hello)
			serr = hurry(t, p, client, &server, packets.out.Bytes())
			if !errors.As(serr, &injected) || !bytes.Equal(injected.Bytes, packets.out.Bytes()) {
				t.Errorf("in packets: want an injection, got %v", serr)
			}
			return
		}
		// The client then sends another ClientHello, which no handshake survives;
		// but the server must have taken the first for TLS.
		var e *starttls.Error
		if !errors.As(serr, &e) || e.Stage != starttls.StageHandshake {
			t.Errorf("want a failure at the handshake, got %v", serr)
		}
		var clear *starttls.CleartextError
		if errors.As(serr, &clear) {
			t.Errorf("the ClientHello was taken for cleartext")
		}
		if len(begun) != 1 || !bytes.HasPrefix(begun[0], hello[:5]) { // an eager client's own follows it
			t.Errorf("TLS is said to begin %d times, and not with the ClientHello", len(begun))
		}
	})
}

// hurry upgrades with hello behind the request, in one segment, and returns how
// the server ended.
func hurry(t *testing.T, p starttls.Protocol, client, server *starttls.Config, hello []byte) error {
	t.Helper()
	cfg := *client
	cfg.OnAsk = func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: append(slices.Clone(msg), hello...)}}
	}
	a, b := loopback(t)
	_, _, _, serr := upgradeOver(t.Context(), p, &cfg, server, a, b)
	return serr
}

// clientHello is the first flight of crypto/tls.
func clientHello(t testing.TB) []byte {
	a, b := net.Pipe()
	rec := &tap{Conn: a}
	go tls.Client(rec, &tls.Config{ServerName: "x.example.test"}).Handshake()
	buf := make([]byte, 4096)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	return buf[:n]
}

// Rule 5: when the handshake fails, nothing but TLS records follows the
// go-ahead, from either side, and the connection ends.
func TestFailedHandshakeLeavesNoCleartext(t *testing.T) {
	client, server := pair(t)
	stranger, _ := pair(t)
	_ = client
	each(t, func(t *testing.T, p starttls.Protocol) {
		a, b := loopback(t)
		ta, tb := &tap{Conn: a}, &tap{Conn: b}
		var asked, granted int
		ccfg, scfg := *stranger, *server
		ccfg.OnAsk = func(msg []byte) []starttls.Segment {
			asked = len(ta.said()) + len(msg)
			return []starttls.Segment{{Data: msg}}
		}
		scfg.OnGoAhead = func(msg []byte) []starttls.Segment {
			granted = len(tb.said()) + len(msg)
			return []starttls.Segment{{Data: msg}}
		}
		cc, _, cerr, _ := upgradeOver(t.Context(), p, &ccfg, &scfg, ta, tb)
		var cert *tls.CertificateVerificationError
		if cc != nil || !errors.As(cerr, &cert) {
			t.Fatalf("the client accepts a stranger's certificate: %v", cerr)
		}
		records(t, "client", unwrapped(t, p, ta.said()[asked:]))
		records(t, "server", unwrapped(t, p, tb.said()[granted:]))
		for side, c := range map[string]net.Conn{"client": a, "server": b} {
			if _, err := c.Write([]byte("x")); err == nil {
				t.Errorf("the %s's connection is still open", side)
			}
		}
	})
}

// unwrapped takes off what p wraps the handshake in, and fails on all else.
func unwrapped(t *testing.T, p starttls.Protocol, b []byte) []byte {
	t.Helper()
	w, ok := p.(starttls.HandshakeWrapper)
	if !ok {
		return b
	}
	wrapped, _ := w.WrapHandshake(scripted(b))
	out, err := io.ReadAll(wrapped)
	if err != nil {
		t.Errorf("not all of the handshake is wrapped: %v", err)
	}
	return out
}

// records fails unless b is made of TLS records.
func records(t *testing.T, side string, b []byte) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 5 || b[0] < 0x14 || b[0] > 0x17 || b[1] != 3 {
			t.Errorf("cleartext from the %s after the go-ahead: %q", side, b[:min(len(b), 60)])
			return
		}
		b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):]
	}
}
