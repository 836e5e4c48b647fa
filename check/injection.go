package check

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"example.org/starttls"
)

// Whether a command that is sent in clear behind the request for TLS is carried
// across the handshake and answered inside TLS (CVE-2011-0411).

// boundaryTests makes the tests of the boundary, and first their baseline: a
// clean upgrade in which the control command is answered. Without it none of
// them could tell anything.
func (r *run) boundaryTests(ctx context.Context) []test {
	injector, ok := r.target.Protocol.(starttls.Injector)
	if !ok || r.target.Implicit {
		return nil
	}
	tests := append(injectionTests(injector), afterwardsTests(injector)...)
	if !r.lives {
		return tests // none of them is made
	}
	why := r.baseline(ctx, injector.Injection(r.options.Name, marker()))
	if why.verdict == Passed {
		return tests
	}
	for i := range tests {
		tests[i].try = func(context.Context, *run) trial { return why }
		tests[i].times = 1
	}
	return tests
}

// baseline is a trial that Passed, or why the tests that rest on it are skipped.
func (r *run) baseline(ctx context.Context, in starttls.Injection) trial {
	x := r.exchange(ctx, in, nil, nil)
	t := trial{verdict: Skipped, evidence: x.evidence}
	switch {
	case x.visit.err != nil:
		t.detail = r.notMade(ctx, x.visit.err).detail
	case x.reply.Probe: // what should prove the fault comes unasked
		t.detail = "the server says unasked what would prove the fault"
	case !x.reply.Control:
		t.detail = "the control command is not answered in a clean upgrade either"
	default:
		t.verdict = Passed
		r.unasked(in, x)
	}
	return t
}

// unasked notes what the server says inside TLS before it is asked anything, in
// protocols where it should wait, and reports whether it does.
func (r *run) unasked(in starttls.Injection, x exchanged) bool {
	said := beforeControl(in, x.said)
	if info := r.target.Protocol.Info(); len(said) == 0 || info.SpeaksAfterTLS || info.Binary { // messages that are no lines can not be told apart here
		return false
	}
	r.add("greeting-in-tls", "inside TLS, before anything is asked, the server says "+starttls.Quote(said), x.evidence...)
	return true
}

// greetsAgain reports whether a probe failed because the server said something
// unasked in front of its answer.
func (r *run) greetsAgain(ctx context.Context, e *starttls.Error) bool {
	injector, ok := r.target.Protocol.(starttls.Injector)
	var refused *starttls.RefusedError
	var odd *starttls.ReplyError
	if !ok || r.target.Implicit || !errors.As(e, &refused) && !errors.As(e, &odd) {
		return false
	}
	in := injector.Injection(r.options.Name, marker())
	return r.unasked(in, r.exchange(ctx, in, nil, nil))
}

// marker is a word that no reply holds by chance.
func marker() string { return "M" + rand.Text()[:7] }

// way is how the probe is brought to the server.
type way struct {
	// ask makes the segments of the request for TLS.
	ask func(msg []byte, in starttls.Injection) []starttls.Segment
	// inside is what is said inside TLS before the control command.
	inside func(in starttls.Injection) []byte
	// before: the probe stands in front of the request, where it may be answered.
	before bool
	// after says the probe behind the server's go-ahead, before the ClientHello.
	after bool
}

// inOneSegment puts the probe behind the request.
func inOneSegment(msg []byte, in starttls.Injection) []starttls.Segment {
	return []starttls.Segment{{Data: slices.Concat(msg, in.Probe)}}
}

func injectionTests(injector starttls.Injector) []test {
	one := func(id string, times int, full bool, w way) test {
		return test{id: id, level: ActiveProbes, times: times, full: full, try: func(ctx context.Context, r *run) trial {
			return r.inject(ctx, injector.Injection(r.options.Name, marker()), w)
		}}
	}
	return []test{
		one("inject-segment", 3, false, way{ask: inOneSegment}),
		{id: "inject-delayed", level: ActiveProbes, try: func(ctx context.Context, r *run) trial {
			delays := []time.Duration{20 * time.Millisecond}
			if r.options.Full {
				delays = []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond}
			}
			return r.injectEach(ctx, injector, len(delays), func(i int) way {
				return way{ask: func(msg []byte, in starttls.Injection) []starttls.Segment {
					return []starttls.Segment{{Data: msg}, {Data: in.Probe, Delay: delays[i]}}
				}}
			})
		}},
		one("inject-after-ok", 1, false, way{after: true}),
		{id: "inject-partial-line", level: ActiveProbes, try: func(ctx context.Context, r *run) trial {
			if r.target.Protocol.Info().Binary {
				return trial{}
			}
			return r.inject(ctx, injector.Injection(r.options.Name, marker()), way{
				ask: func(msg []byte, in starttls.Injection) []starttls.Segment {
					begun, _ := cutLine(in.Probe)
					return []starttls.Segment{{Data: slices.Concat(msg, begun)}}
				},
				inside: func(in starttls.Injection) []byte { _, rest := cutLine(in.Probe); return rest },
			})
		}},
		one("inject-prefix", 1, false, way{before: true, ask: func(msg []byte, in starttls.Injection) []starttls.Segment {
			return []starttls.Segment{{Data: slices.Concat(in.Probe, msg)}}
		}}),
		{id: "inject-parser", level: ActiveProbes, try: func(ctx context.Context, r *run) trial {
			if r.target.Protocol.Info().Binary {
				return trial{}
			}
			forms := oddForms
			if !r.options.Full {
				forms = forms[:2]
			}
			return r.injectEach(ctx, injector, len(forms), func(i int) way {
				return way{ask: func(msg []byte, in starttls.Injection) []starttls.Segment {
					return inOneSegment(forms[i](msg), in)
				}}
			})
		}},
		{id: "inject-race", level: ActiveProbes, full: true, try: func(ctx context.Context, r *run) trial {
			const cuts = 20
			return r.injectEach(ctx, injector, cuts, func(i int) way {
				return way{ask: func(msg []byte, in starttls.Injection) []starttls.Segment {
					all := slices.Concat(msg, in.Probe)
					at := 1 + i*(len(all)-1)/cuts
					return []starttls.Segment{{Data: all[:at]}, {Data: all[at:], Delay: time.Millisecond}}
				}}
			})
		}},
	}
}

// cutLine cuts a command before the end of its line, or before its last byte:
// the rest is no command by itself, to be answered as the whole would be.
func cutLine(command []byte) (begun, rest []byte) {
	begun, rest = cutEnd(command)
	if len(rest) == 0 {
		n := len(command) - 1
		begun, rest = command[:n], command[n:]
	}
	return begun, rest
}

// oddForms are spellings of the request that one parser takes for it and
// another does not.
var oddForms = []func([]byte) []byte{
	func(msg []byte) []byte { line, _ := cutEnd(msg); return append(slices.Clone(line), '\n') },
	func(msg []byte) []byte { return bytes.ToLower(msg) },
	func(msg []byte) []byte { line, end := cutEnd(msg); return slices.Concat(line, []byte(" "), end) },
	func(msg []byte) []byte { line, end := cutEnd(msg); return slices.Concat(line, []byte("\t"), end) },
	func(msg []byte) []byte { line, end := cutEnd(msg); return slices.Concat(line, []byte("\x00"), end) },
	func(msg []byte) []byte { return bytes.Replace(msg, []byte(" "), []byte("  "), 1) },
	func(msg []byte) []byte {
		line, end := cutEnd(msg)
		return slices.Concat(line, []byte(" {0+}"), end, end)
	},
}

// injectEach tries several ways, four at a time since some of them wait; the worst
// counts.
func (r *run) injectEach(ctx context.Context, injector starttls.Injector, n int, ways func(i int) way) trial {
	trials := make([]trial, n)
	slots := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			trials[i] = r.inject(ctx, injector.Injection(r.options.Name, marker()), ways(i))
			<-slots
		})
	}
	wg.Wait()
	return worst(trials)
}

// inject makes one try and judges it.
func (r *run) inject(ctx context.Context, in starttls.Injection, w way) trial {
	var inside []byte
	if w.inside != nil {
		inside = w.inside(in)
	}
	requestless := false // what comes before the ClientHello is then a command in clear like any other
	var late afterAsk
	x := r.exchange(ctx, in, inside, func(c *starttls.Config) {
		if w.ask != nil {
			c.OnAsk = func(msg []byte) []starttls.Segment {
				requestless = len(msg) == 0
				return w.ask(msg, in)
			}
		}
		if w.after {
			asked := false
			c.OnAsk = func(msg []byte) []starttls.Segment {
				asked = true
				return []starttls.Segment{{Data: msg}}
			}
			open := c.Dialer
			c.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := open(ctx, network, addr)
				late = afterAsk{Conn: nc, asked: &asked, probe: in.Probe}
				return &late, err
			}
		}
	})
	if late.n > 1 { // the transcript does not have it
		x.late = in.Probe
	}
	x.evidence = said(x.evidence, x.late)
	t := trial{evidence: x.evidence}
	switch {
	case x.visit.err != nil:
		return r.notCrossed(ctx, in, w.before || requestless, x)
	case x.reply.Probe:
		t.verdict, t.detail = Vulnerable, "what was sent in clear is answered inside TLS"
	case x.reply.Control:
		t.verdict, t.detail = Passed, "the server drops what came in clear"
	case x.err != nil && !timeout(x.err):
		t.verdict, t.detail = Passed, "the server closes the connection"
	default:
		t.verdict, t.detail = Inconclusive, "the session hangs inside TLS"
	}
	return t
}

// said puts what was said in clear behind the request into a dialogue: in front of
// what was said inside TLS.
func said(dialogue []string, probe []byte) []string {
	at := slices.IndexFunc(dialogue, func(l string) bool { return len(l) > 1 && l[1] == '~' })
	if at < 0 {
		at = len(dialogue)
	}
	return slices.Insert(slices.Clone(dialogue), at, clearEntry(starttls.ClientSide, probe)...)
}

// afterAsk says the probe in front of the second thing that is written once TLS
// was asked for: the first is the request, the second the ClientHello.
type afterAsk struct {
	net.Conn
	asked *bool
	probe []byte
	n     int
}

func (c *afterAsk) Write(b []byte) (int, error) {
	if *c.asked {
		if c.n++; c.n == 2 {
			if _, err := c.Conn.Write(c.probe); err != nil {
				return 0, err
			}
		}
	}
	return c.Conn.Write(b)
}
