package check

import (
	"context"
	"errors"
	"io"

	"example.org/starttls"
)

// notCrossed judges a try that did not come to a session inside TLS: that is
// what a careful server does with one, unless it answers in clear.
func (r *run) notCrossed(ctx context.Context, in starttls.Injection, mayAnswer bool, x exchanged) trial {
	err := x.visit.err
	var e *starttls.Error
	if !errors.As(err, &e) || e.Stage == starttls.StageDial || ctx.Err() != nil || !e.Asked {
		return r.notMade(ctx, err)
	}
	t := trial{verdict: Passed, evidence: said(lines(e.Transcript), x.late)}
	answer := withoutRecords(x.raw.past(e.Transcript))
	var injected *starttls.InjectedError
	var clear *starttls.CleartextError
	var refused *starttls.RefusedError
	var odd *starttls.ReplyError
	switch {
	case errors.As(err, &refused):
		t.detail = "the server refuses TLS then: " + starttls.Quote(refused.Reply)
	case errors.As(err, &odd):
		t.detail = "the server answers in clear, before TLS: " + starttls.Quote(odd.Reply)
	case !mayAnswer && in.Classify(answer).Probe:
		t.verdict, t.severity, t.title = Warn, Low, "A command in clear behind the request for TLS is answered in clear"
		t.detail = "the server answers in clear, behind its consent to TLS: " + starttls.Quote(answer)
		t.evidence = append(t.evidence, clearEntry(starttls.ServerSide, answer)...)
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
