package check

import (
	"context"
	"errors"
	"time"

	"example.org/starttls"
)

// protocolTests are the tests that only the target's protocol has.
func (r *run) protocolTests() []test {
	tester, ok := r.target.Protocol.(starttls.Tester)
	if !ok || r.target.Implicit {
		return nil
	}
	var out []test
	for _, t := range tester.Tests() {
		out = append(out, test{id: t.ID, level: Level(t.Level + 1), full: t.Full, outside: t.Clear,
			try: func(ctx context.Context, r *run) trial { return r.protocolTest(ctx, t) }})
	}
	return out
}

// protocolTest makes one of them, on a connection of its own.
func (r *run) protocolTest(ctx context.Context, t starttls.Test) trial {
	v := r.visit(ctx, func(c *starttls.Config) {
		c.Bare, c.BeforeAsk = true, t.Before
		if t.Clear {
			c.Mode = starttls.None
		}
	})
	if v.err != nil {
		return r.notUpgraded(ctx, t, v.err)
	}
	defer v.conn.Close()
	v.conn.SetDeadline(time.Now().Add(min(r.options.Timeout, r.patience(5*time.Second)))) // many wait before they refuse a sign-in
	before := v.conn.Before()
	w := starttls.NewWire(ctx, v.conn, starttls.WireConfig{ServerName: r.options.Name, LocalName: r.options.Local, TLS: !t.Clear, Upgraded: !t.Clear, Before: &before})
	defer w.Release()
	verdict, err := t.Run(w)
	out := trial{verdict: Passed, detail: verdict.Detail, evidence: append(lines(v.conn.Transcript()), lines(w.Transcript())...)}
	switch {
	case closed(err):
		out.detail = "the server closes the connection"
	case err != nil:
		return r.notMade(ctx, err)
	case verdict.Fault && verdict.Harmless:
		out.verdict = Noted
	case verdict.Fault:
		out.verdict = Warn
	}
	return out
}

// notUpgraded is the trial of a test whose connection did not come to TLS. What
// was said before the request for it may be why, and is then a good reason.
func (r *run) notUpgraded(ctx context.Context, t starttls.Test, err error) trial {
	var e *starttls.Error
	switch {
	case t.Before == nil || !errors.As(err, &e) || e.Stage == starttls.StageDial || e.Timeout() || ctx.Err() != nil:
		return r.notMade(ctx, err)
	case e.Asked:
		return trial{verdict: Passed, detail: "the server does not upgrade then: " + e.Err.Error(), evidence: lines(e.Transcript)}
	case closed(err):
		return trial{}
	}
	return r.notMade(ctx, err)
}
