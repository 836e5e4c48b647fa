package check

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"slices"
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
					return []starttls.Segment{{Data: slices.Concat(msg, in.Probe[:2])}}
				},
				inside: func(in starttls.Injection) []byte { return in.Probe[2:] },
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

// injectEach tries several ways, one after the other; the worst counts.
func (r *run) injectEach(ctx context.Context, injector starttls.Injector, n int, ways func(i int) way) trial {
	var trials []trial
	for i := range n {
		trials = append(trials, r.inject(ctx, injector.Injection(r.options.Name, marker()), ways(i)))
	}
	return worst(trials)
}

// inject makes one try and judges it.
func (r *run) inject(ctx context.Context, in starttls.Injection, w way) trial {
	var inside []byte
	if w.inside != nil {
		inside = w.inside(in)
	}
	requestless := false // what comes before the ClientHello is then a command in clear like any other
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
				return &afterAsk{Conn: nc, asked: &asked, probe: in.Probe}, err
			}
		}
	})
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

// exchanged is what came of one connection with a probe in it.
type exchanged struct {
	visit    visit
	raw      *listened // all that came on the connection
	said     []byte    // by the server inside TLS
	reply    starttls.Reply
	err      error // that ended the listening
	evidence []string
}

// exchange upgrades as edit has it, says what is to be said inside TLS, and asks
// the control command there.
func (r *run) exchange(ctx context.Context, in starttls.Injection, inside []byte, edit func(*starttls.Config)) (x exchanged) {
	x.visit = r.visit(ctx, func(c *starttls.Config) {
		c.Bare = true
		c.Timeouts.Cleartext = min(c.Timeouts.Cleartext, r.patience(2*time.Second)+2*r.cleartextTime())
		c.Timeouts.Handshake = min(c.Timeouts.Handshake, r.patience(2*time.Second))
		if edit != nil {
			edit(c)
		}
		open := c.Dialer
		c.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := open(ctx, network, addr)
			x.raw = &listened{Conn: nc}
			return x.raw, err
		}
	})
	if x.visit.err != nil {
		return x
	}
	conn, msg := x.visit.conn, slices.Concat(inside, in.Control)
	defer conn.Close()
	x.said, x.reply, x.err = r.listen(ctx, conn, in, msg)
	x.evidence = slices.Concat(lines(conn.Transcript()), inTLS(starttls.ClientSide, msg), inTLS(starttls.ServerSide, x.said))
	return x
}

func inTLS(from starttls.Side, b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return starttls.Entry{From: from, TLS: true, Data: b}.Lines()
}

// listened is a connection that keeps the beginning of what came over it.
type listened struct {
	net.Conn
	came []byte
}

func (l *listened) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.came = append(l.came, b[:min(n, max(0, 64<<10-len(l.came)))]...)
	return n, err
}

// past is what came after what the transcript holds.
func (l *listened) past(t starttls.Transcript) []byte {
	n := 0
	for _, e := range t {
		if e.From == starttls.ServerSide {
			n += len(e.Data)
		}
	}
	return l.came[min(n, len(l.came)):]
}

// beforeControl is the longest beginning of said in which the control command is
// not answered and whose end is that of a line.
func beforeControl(in starttls.Injection, said []byte) []byte {
	end := 0
	for i, b := range said {
		if in.Classify(said[:i+1]).Control {
			return said[:end]
		}
		if b == '\n' {
			end = i + 1
		}
	}
	return nil
}

// listen writes msg inside TLS and reads until the control command is answered,
// the probe is, or nothing more is to be expected.
func (r *run) listen(ctx context.Context, conn *starttls.Conn, in starttls.Injection, msg []byte) (said []byte, reply starttls.Reply, err error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(r.patience(2 * time.Second)))
	if _, err := conn.Write(msg); err != nil {
		return nil, reply, err
	}
	buf := make([]byte, 4096)
	for len(said) < 64<<10 {
		n, err := conn.Read(buf)
		said = append(said, buf[:n]...)
		before := reply.Control
		reply = in.Classify(said)
		switch {
		case reply.Probe:
			return said, reply, nil
		case reply.Control && !r.target.Protocol.Info().Unordered:
			return said, reply, nil
		case err != nil:
			return said, reply, err
		case reply.Control && !before: // the answer to the probe may come later
			conn.SetReadDeadline(time.Now().Add(r.patience(250 * time.Millisecond)))
		}
	}
	return said, reply, errors.New("the server does not stop")
}

// patience is how long silence is waited for: least, or four round trips.
func (r *run) patience(least time.Duration) time.Duration {
	return max(least, time.Duration(4*r.Milliseconds.Dial*float64(time.Millisecond)))
}

// cleartextTime is how long the first visit took in clear: some servers make
// strangers wait for their greeting.
func (r *run) cleartextTime() time.Duration {
	return time.Duration(r.Milliseconds.Cleartext * float64(time.Millisecond))
}

func timeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// notCrossed judges a try that did not come to a session inside TLS: that is
// what a careful server does with one, unless it answers in clear.
func (r *run) notCrossed(ctx context.Context, in starttls.Injection, mayAnswer bool, x exchanged) trial {
	err := x.visit.err
	var e *starttls.Error
	if !errors.As(err, &e) || e.Stage == starttls.StageDial || ctx.Err() != nil || !e.Asked {
		return r.notMade(ctx, err)
	}
	t := trial{verdict: Passed, evidence: lines(e.Transcript)}
	var injected *starttls.InjectedError
	var clear *starttls.CleartextError
	var refused *starttls.RefusedError
	var odd *starttls.ReplyError
	switch {
	case errors.As(err, &refused):
		t.detail = "the server refuses TLS then: " + starttls.Quote(refused.Reply)
	case errors.As(err, &odd):
		t.detail = "the server answers in clear, before TLS: " + starttls.Quote(odd.Reply)
	case !mayAnswer && in.Classify(withoutRecords(x.raw.past(e.Transcript))).Probe:
		t.verdict, t.severity, t.detail = Warn, Low, "the server answers in clear, behind its consent to TLS: "+starttls.Quote(x.raw.past(e.Transcript))
	case errors.As(err, &injected):
		t.detail = "the server says in clear, and no more: " + starttls.Quote(injected.Bytes)
	case errors.As(err, &clear):
		t.detail = "the server says in clear, where TLS is due: " + starttls.Quote(clear.Bytes)
	case e.Timeout():
		t.verdict, t.detail = Inconclusive, "the connection hangs"
	case closed(e) || errors.Is(err, io.EOF):
		t.detail = "the server closes the connection"
	default:
		t.detail = "the handshake fails: " + e.Err.Error()
	}
	return t
}

func lines(t starttls.Transcript) (out []string) {
	for _, e := range t {
		out = append(out, e.Lines()...)
	}
	return out
}
