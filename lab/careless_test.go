package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
)

// careless is a client with every fault that the lab is there to find: it uses
// TLS if possible, takes any certificate, keeps what was said in clear for
// inside TLS, and goes where it is sent.
type careless struct {
	Call
	heard []byte // all that was said in clear
	auth  []string
}

func beCareless(ctx context.Context, c Call) Ended {
	x := &careless{Call: c}
	err := x.run(ctx)
	for _, at := range x.sentTo() {
		if nc, err := net.DialTimeout("tcp", at, time.Second); err == nil {
			nc.Write([]byte(c.Password + "\r\n"))
			nc.Close()
		}
	}
	if err != nil {
		return Ended{How: err.Error()}
	}
	return Ended{How: "ended well"}
}

// blunt is a client that signs in before all else.
func blunt(ctx context.Context, c Call) Ended {
	nc, err := net.Dial("tcp", c.Addr)
	if err != nil {
		return Ended{How: err.Error()}
	}
	defer nc.Close()
	nc.Write([]byte(c.User + " " + c.Password + "\r\n"))
	nc.(*net.TCPConn).CloseWrite()
	nc.SetDeadline(time.Now().Add(20 * time.Second)) // the server ends it
	io.Copy(io.Discard, nc)
	return Ended{How: "said it all"}
}

// tapped keeps what is read.
type tapped struct {
	net.Conn
	x *careless
}

func (t tapped) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.x.heard = append(t.x.heard, b[:n]...)
	return n, err
}

func (x *careless) dial() (net.Conn, error) {
	nc, err := net.Dial("tcp", x.Addr)
	if err == nil {
		nc.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return nc, err
}

func (x *careless) config(before *starttls.Hello) starttls.WireConfig {
	return starttls.WireConfig{ServerName: x.Host, LocalName: "client.example.test", TLS: before != nil, Upgraded: before != nil, Before: before, Limits: starttls.Limits{Line: 1 << 24, Bytes: 1 << 25, Lines: 1 << 20}}
}

// run brings TLS about if it can, and signs in either way.
func (x *careless) run(ctx context.Context) error {
	nc, err := x.dial()
	if err != nil {
		return err
	}
	defer nc.Close()
	w := starttls.NewWire(ctx, tapped{nc, x}, x.config(nil))
	h, err := x.Protocol.Client(w, starttls.IfOffered)
	x.auth = h.Auth
	ahead := w.Ahead()
	w.Release()
	if errors.As(err, new(*starttls.InjectedError)) { // "the answer has come": on in clear, as if it were TLS
		_, err := nc.Write([]byte(x.Password + "\r\n"))
		return err
	}
	if err != nil {
		return x.inClear(ctx)
	}
	wrapped, unwrap := net.Conn(nc), func() {}
	if h, ok := x.Protocol.(starttls.HandshakeWrapper); ok {
		wrapped, unwrap = h.WrapHandshake(nc)
	}
	tc := tls.Client(wrapped, &tls.Config{ServerName: x.Host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, NextProtos: x.Protocol.Info().ALPN})
	if err := tc.HandshakeContext(ctx); err != nil {
		return x.inClear(ctx)
	}
	unwrap()
	err = x.inside(ctx, &resumed{tc, ahead}, &h)
	if errors.Is(err, io.EOF) { // TLS has ended: on without it
		_, err = nc.Write([]byte(x.Password + "\r\n"))
	}
	return err
}

// inClear begins anew without TLS.
func (x *careless) inClear(ctx context.Context) error {
	nc, err := x.dial()
	if err != nil {
		return err
	}
	defer nc.Close()
	w := starttls.NewWire(ctx, tapped{nc, x}, x.config(nil))
	defer w.Release()
	if _, err := x.Protocol.Client(w, starttls.NoAsk); err != nil {
		return err
	}
	_, err = w.Write([]byte(x.Password + "\r\n"))
	return err
}

// inside is its session inside TLS.
func (x *careless) inside(ctx context.Context, nc net.Conn, before *starttls.Hello) error {
	w := starttls.NewWire(ctx, nc, x.config(before))
	defer w.Release()
	if x.Protocol.Info().SpeaksAfterTLS {
		if _, err := x.Protocol.Client(w, starttls.NoAsk); err != nil {
			return err
		}
	}
	if s, ok := x.Protocol.(starttls.Settler); ok {
		s.Settle(w)
		for _, command := range []string{"CCC", "EPSV", "PASV"} {
			w.WriteLine(command)
			answer, err := w.ReadLine()
			if err != nil {
				return err
			}
			x.heard = append(x.heard, answer...)
		}
	}
	if strings.Contains(string(x.heard), canary) { // what was said in clear is used
		w.WriteLine("x " + canary)
	}
	if p, ok := x.Protocol.(starttls.Prober); ok {
		h, err := p.Probe(w)
		if err != nil {
			return err
		}
		if len(x.auth) == 0 {
			x.auth = h.Auth
		}
	}
	if a, ok := x.Protocol.(starttls.Authenticator); ok {
		return x.signIn(w, a)
	}
	_, err := w.Write([]byte(x.Password + "\r\n"))
	return err
}

// signIn uses a mechanism that was listed in clear.
func (x *careless) signIn(w *starttls.Wire, a starttls.Authenticator) error {
	mechanism, answers := "LOGIN", []string{x.User, x.Password}
	var first []byte
	if slices.Contains(x.auth, "PLAIN") {
		mechanism, first = "PLAIN", []byte("\x00"+x.User+"\x00"+x.Password)
	}
	return a.Authenticate(w, mechanism, first, func([]byte) (answer []byte, err error) {
		if len(answers) > 0 {
			answer, answers = []byte(answers[0]), answers[1:]
		}
		return answer, nil
	})
}

const canary = "XLABCANARY"

var (
	foreign = regexp.MustCompile(`127\.0\.0\.2:\d+`)
	passive = regexp.MustCompile(`\(127,0,0,2,(\d+),(\d+)\)`)
)

// sentTo are the addresses that it was told of.
func (x *careless) sentTo() []string {
	out := foreign.FindAllString(string(x.heard), -1)
	if m := passive.FindStringSubmatch(string(x.heard)); m != nil {
		high, _ := strconv.Atoi(m[1])
		low, _ := strconv.Atoi(m[2])
		out = append(out, "127.0.0.2:"+strconv.Itoa(high<<8|low))
	}
	return out
}

// onlyBlunt are the cases that a client passes which takes TLS where it can: one
// that signs in before that does not.
var onlyBlunt = []string{"auth-downgrade", "case-lower", "case-mixed", "case-equals", "delay", "error-bare", "flood-escape", "flood-line", "flood-lines",
	"flood-nul", "greeting-busy", "greeting-more", "greeting-odd", "greeting-prefix", "greeting-refused", "gss-promised", "newstyle-old", controlID, "anon"}

// alone has a client meet a case again, and nothing else.
func alone(t *testing.T, r Result, client Client) Result {
	t.Helper()
	for _, p := range Protocols() {
		if p.Info().Name != r.Protocol {
			continue
		}
		rep, err := Run(t.Context(), Options{Protocols: []starttls.Protocol{p}, Cases: []string{r.Case}}, client)
		if err != nil {
			t.Fatal(err)
		}
		for _, again := range rep.Results {
			if again.Case == r.Case {
				return again
			}
		}
	}
	return r
}

// Each case catches a client that is careless, in every protocol that has it.
func TestCarelessClientsAreCaught(t *testing.T) {
	caught, how := map[string]bool{}, map[string]string{}
	for name, client := range map[string]Client{"careless": beCareless, "blunt": blunt} {
		rep, err := Run(t.Context(), Options{Parallel: 64, Limits: Limits{Idle: 10 * time.Second}}, client)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rep.Results {
			if r.Verdict == Inconclusive { // of so many at once some run out of time on a busy machine
				r = alone(t, r, client)
			}
			how[r.Case] += fmt.Sprintf("\n%s %s: %s %s; %s; %q", name, r.Protocol, r.Verdict, r.Detail, r.Client, r.Evidence)
			if r.Verdict == Vulnerable || r.Verdict == Warn && strings.Contains(r.Detail, "listed in clear alone") {
				caught[r.Protocol+" "+r.Case], caught[name+" "+r.Case] = true, true
			}
		}
	}
	for _, p := range Protocols() {
		for _, c := range For(p, "") {
			if (c.ID == honestID) == caught[p.Info().Name+" "+c.ID] {
				t.Errorf("%s %s: caught: %v%s", p.Info().Name, c.ID, c.ID == honestID, how[c.ID])
			}
		}
	}
	for _, c := range Catalogue() {
		if c.ID != honestID && c.ID != "dns" && !caught["careless "+c.ID] && !slices.Contains(onlyBlunt, c.ID) {
			t.Errorf("%s: the careless client was not caught%s", c.ID, how[c.ID])
		}
	}
}
