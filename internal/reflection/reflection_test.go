package reflection_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"
	"example.org/starttls/lab"
	"example.org/starttls/protocol"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// reflector serves p.
func reflector(t *testing.T, p starttls.Protocol) *lab.Reflector {
	t.Helper()
	r, err := lab.Reflect(t.Context(), lab.ReflectOptions{Protocols: []starttls.Protocol{p}, Listen: "127.0.0.1:0", Report: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// through checks the path to r that begins at addr.
func through(t *testing.T, r *lab.Reflector, p starttls.Protocol, addr string) check.Result {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	other, err := check.ParseReflector(r.Addr + "#" + r.Key)
	if err != nil {
		t.Fatal(err)
	}
	o := check.Options{Local: "client.example.test", Timeout: 3 * time.Second}
	ports, err := other.Services(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, served, _ := net.SplitHostPort(r.Services[0].Addr); strconv.Itoa(ports[p.Info().Name]) != served {
		t.Errorf("services: %v", ports)
	}
	return check.Reflect(t.Context(), check.Target{Protocol: p, Host: host, Port: n}, o, other)
}

// followsSchema holds a result against docs/check.schema.json.
func followsSchema(t *testing.T, r check.Result) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/check.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(check.Report{Schema: check.Schema, Results: []check.Result{r}})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
}

func ids(r check.Result) (out []string) {
	for _, f := range r.Findings {
		out = append(out, f.ID)
	}
	return out
}

// With nothing in between nothing is changed, in any protocol and however TLS is
// asked for.
func TestNothingBetween(t *testing.T) {
	t.Parallel()
	for _, p := range protocol.All() {
		t.Run(p.Info().Name, func(t *testing.T) {
			t.Parallel()
			r := reflector(t, p)
			got := through(t, r, p, r.Services[0].Addr)
			if !slices.Equal(ids(got), []string{"path-unchanged"}) || got.Verdict != "ok" || got.Outcome != check.Upgraded || got.Level != "verify" || !got.StartTLS.Offered {
				t.Errorf("%+v", got)
			}
			for _, v := range got.Path {
				if v.ToServer != "unchanged" || v.ToClient != "unchanged" || len(v.Evidence) > 0 {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}

// Each lie of the lab's middle is told as what it is.
func TestMiddle(t *testing.T) {
	t.Parallel()
	p := protocol.Submission
	for id, want := range map[string]struct {
		finding string
		outcome check.Outcome
	}{
		"honest":            {"path-intercepts", check.Intercepted},
		"strip-caps":        {"path-strips", check.Intercepted}, // who asks blindly is given TLS, with another's key
		"strip-caps-refuse": {"path-strips", check.Stripped},
		"mask":              {"path-masks", check.Stripped},
		"error-perm":        {"path-refuses", check.Refused},
		"error-temp":        {"path-refuses", check.Refused},
		"hs-abort":          {"path-refuses", check.Refused},
		"inject-resp":       {"path-injects", check.Injected},
		"cert-self":         {"path-intercepts", check.Intercepted},
		"close-on-starttls": {"path-drops", check.Closed},
		"silent-drop":       {"path-drops", check.Closed},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			r := reflector(t, p)
			m, err := lab.Between(t.Context(), lab.MiddleOptions{Protocol: p, Listen: "127.0.0.1:0", Server: r.Services[0].Addr, Case: id, Config: &starttls.Config{TLS: &tls.Config{InsecureSkipVerify: true}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Close)
			got := through(t, r, p, m.Addr)
			followsSchema(t, got)
			if !slices.Contains(ids(got), want.finding) || got.Outcome != want.outcome || got.Verdict != "findings" || got.Against.Attacker != "exposed" {
				t.Errorf("%s %v %s", got.Outcome, ids(got), got.Verdict)
				for _, f := range got.Findings {
					t.Errorf("%s: %s %q", f.ID, f.Detail, f.Evidence)
				}
			}
		})
	}
}

// relay passes on what both ends say, changed by edit, which returns nil to end
// the connection.
func relay(t *testing.T, to string, edit func(from starttls.Side, b []byte) []byte) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", to)
			if err != nil {
				nc.Close()
				return
			}
			pass := func(from starttls.Side, dst, src net.Conn) {
				defer dst.Close()
				defer src.Close()
				b := make([]byte, 16<<10)
				for {
					n, err := src.Read(b)
					if err != nil {
						return
					}
					out := edit(from, b[:n])
					if out == nil {
						return
					}
					if _, err := dst.Write(out); err != nil {
						return
					}
				}
			}
			running.Go(func() { pass(starttls.ClientSide, behind, nc) })
			running.Go(func() { pass(starttls.ServerSide, nc, behind) })
		}
	})
	return l.Addr().String()
}

// A device that changes bytes and no more is told by what it does.
func TestRelay(t *testing.T) {
	t.Parallel()
	replace := func(side starttls.Side, old, new string) func(starttls.Side, []byte) []byte {
		return func(from starttls.Side, b []byte) []byte {
			if from == side {
				return bytes.ReplaceAll(b, []byte(old), []byte(new))
			}
			return b
		}
	}
	hello := func(b []byte) bool { return len(b) > 100 && b[0] == 0x16 && b[5] == 1 }
	cases := map[string]struct {
		edit    func(starttls.Side, []byte) []byte
		want    []string // the findings, gravest first
		outcome check.Outcome
		says    string // in the detail or evidence of the first
	}{
		"nothing": {func(_ starttls.Side, b []byte) []byte { return b }, []string{"path-unchanged"}, check.Upgraded, ""},
		"the command is masked": {replace(starttls.ClientSide, "STARTTLS", "XXXXXXXX"),
			[]string{"path-masks"}, check.Stripped, `of "STARTTLS" arrives "XXXXXXXX"`},
		"the offer is masked": {replace(starttls.ServerSide, "STARTTLS", "XXXXXXXA"),
			[]string{"path-masks"}, check.Stripped, "S: arrived 250 XXXXXXXA"},
		"the offer is removed": {replace(starttls.ServerSide, "250-localhost\r\n250 STARTTLS", "250 localhost"),
			[]string{"path-strips"}, check.Stripped, `arrives "250 localhost"`},
		"the greeting is another": {replace(starttls.ServerSide, "220 localhost", "220 firewall."),
			[]string{"path-rewrites"}, check.Upgraded, "220 firewall."},
		"the name is another": {replace(starttls.ClientSide, "client.example.test", "proxy"),
			[]string{"path-rewrites"}, check.Upgraded, "C: arrived EHLO proxy"},
		"the consent becomes a no": {replace(starttls.ServerSide, "220 2.0.0", "454 4.7.0"),
			[]string{"path-refuses"}, check.Refused, "454 4.7.0"},
		"the greeting becomes a no": {replace(starttls.ServerSide, "220 localhost ESMTP", "421 4.7.0 go away"),
			[]string{"path-refuses"}, check.Refused, "421 4.7.0"},
		"more than the consent": {replace(starttls.ServerSide, "220 2.0.0 Ready to start TLS\r\n", "220 2.0.0 Ready to start TLS\r\n250 evil\r\n"),
			[]string{"path-injects"}, check.Injected, "250 evil"},
		"the request ends it": {func(from starttls.Side, b []byte) []byte {
			if from == starttls.ClientSide && bytes.Contains(bytes.ToUpper(b), []byte("START")) {
				return nil
			}
			return b
		}, []string{"path-drops"}, check.Closed, "when TLS was asked for"},
		"the ClientHello ends it": {func(from starttls.Side, b []byte) []byte {
			if hello(b) {
				return nil
			}
			return b
		}, []string{"path-drops"}, check.Closed, "in the handshake"},
		"the ClientHello is changed": {func(_ starttls.Side, b []byte) []byte {
			if hello(b) {
				b[len(b)-1] ^= 1
			}
			return b
		}, []string{"path-changes-hello"}, check.HandshakeFailed, "the ClientHello is another from its byte"},
	}
	told := map[string]bool{"path-intercepts": true} // TestMiddle
	for name, c := range cases {
		for _, id := range c.want {
			told[id] = true
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := reflector(t, protocol.SMTP)
			got := through(t, r, protocol.SMTP, relay(t, r.Services[0].Addr, c.edit))
			if !slices.Equal(ids(got), c.want) || got.Outcome != c.outcome {
				t.Errorf("%s %v", got.Outcome, ids(got))
			}
			if f := got.Findings[0]; !strings.Contains(f.Detail+strings.Join(f.Evidence, "\n"), c.says) {
				t.Errorf("%s %q", f.Detail, f.Evidence)
			}
		})
	}
	for _, e := range check.Catalogue() {
		if strings.HasPrefix(e.ID, "path-") && !told[e.ID] {
			t.Errorf("%s: nothing shows it", e.ID)
		}
	}
}

// Where no connection may be made any more nothing is said about the path.
func TestNoConnectionLeft(t *testing.T) {
	t.Parallel()
	r := reflector(t, protocol.SMTP)
	other, err := check.ParseReflector(r.Addr + "#" + r.Key)
	if err != nil {
		t.Fatal(err)
	}
	o := check.Options{Timeout: 3 * time.Second, MaxConnections: 1}
	if _, err := other.Services(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(r.Services[0].Addr)
	n, _ := strconv.Atoi(port)
	got := check.Reflect(t.Context(), check.Target{Protocol: protocol.SMTP, Host: host, Port: n}, o, other)
	if slices.Contains(ids(got), "path-drops") || got.Verdict != "failed" || got.Error == nil {
		t.Errorf("%s %v %+v", got.Verdict, ids(got), got.Error)
	}
}

// Who answers without the reflector, and who does not answer at all.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	p := protocol.SMTP
	r, other := reflector(t, p), reflector(t, p)
	got := through(t, r, p, other.Services[0].Addr)
	if !slices.Equal(ids(got), []string{"path-intercepts"}) || got.Outcome != check.Intercepted {
		t.Errorf("%s %v", got.Outcome, ids(got))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	got = through(t, r, p, l.Addr().String())
	if !slices.Equal(ids(got), []string{"path-drops"}) || len(got.Path) != 1 {
		t.Errorf("%v %+v", ids(got), got.Path)
	}
}
