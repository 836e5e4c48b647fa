package check

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"

	"example.org/starttls"
)

// failed judges why there is no TLS. Where the server does not offer it, it is
// asked all the same, and the connection returned if it agrees.
func (r *run) failed(ctx context.Context, v visit, e *starttls.Error) visit {
	r.Error = describeError(e)
	switch {
	case errors.Is(e, context.Canceled): // by our own user
		r.noVerdict(TimedOut)
	case e.Stage == starttls.StageDial && e.Timeout():
		r.noVerdict(TimedOut)
	case e.Stage == starttls.StageDial:
		r.noVerdict(Unreachable)
	case e.Stage == starttls.StageCleartext:
		return r.cleartextFailed(ctx, v, e)
	case e.Stage == starttls.StageHandshake:
		r.handshakeFailed(v, e)
	case v.seen != nil:
		r.negotiated(*v.seen)
		r.sessionFailed(e)
	}
	return v
}

// noVerdict says that nothing can be told of the server's TLS.
func (r *run) noVerdict(o Outcome) { r.Outcome, r.unsure = o, true }

func (r *run) cleartextFailed(ctx context.Context, v visit, e *starttls.Error) visit {
	var refused *starttls.RefusedError
	var injected *starttls.InjectedError
	var reply *starttls.ReplyError
	var limit *starttls.LimitError
	evidence := r.lastLines(4)
	switch {
	case errors.Is(e, starttls.ErrNotOffered):
		return r.notOffered(ctx, v, evidence)
	case errors.Is(e, starttls.ErrAlreadyAuthenticated):
		r.Outcome = Refused
		r.add("already-authenticated", "", evidence...)
	case errors.As(e, &injected):
		r.Outcome, r.StartTLS.Accepted = Injected, e.Asked
		r.add("reply-injected", injected.Error(), append(evidence, "S: "+starttls.Escape(string(injected.Bytes)))...)
	case errors.As(e, &refused):
		r.refused(e, refused, evidence)
	case e.Timeout():
		r.noVerdict(TimedOut)
	case closed(e) && e.Asked:
		r.Outcome = Closed
		r.add("closed", "", evidence...)
	case closed(e):
		r.noVerdict(Closed)
	case (errors.As(e, &reply) || errors.As(e, &limit)) && e.Asked && (e.Before.Offered || r.target.Protocol.Info().ServerFirst): // it was understood until then
		r.Outcome = Refused
		r.add("refused", e.Err.Error(), evidence...)
	case errors.As(e, &reply), errors.As(e, &limit):
		r.noVerdict(NotUnderstood)
		r.Error.Hint = "is it really this protocol that listens there?"
	default:
		r.noVerdict(Unreachable)
	}
	return v
}

// handshakeFailed judges what came instead of TLS. A certificate may have been
// seen all the same.
func (r *run) handshakeFailed(v visit, e *starttls.Error) {
	if v.seen != nil {
		r.certificate(v.seen.PeerCertificates, r.options.Name)
	}
	r.StartTLS.Accepted = !r.target.Implicit
	var clear *starttls.CleartextError
	inClear := errors.As(e, &clear)
	switch {
	case inClear && !r.target.Implicit:
		r.Outcome = CleartextAfterGo
		r.add("cleartext-after-go-ahead", clear.Error(), r.lastLines(4)...)
	case e.Timeout():
		r.noVerdict(TimedOut)
	default:
		if inClear {
			r.Error.Hint = "the server speaks, but not TLS: does this port begin in cleartext?"
		}
		r.Outcome = HandshakeFailed
		r.add("handshake-failed", r.Error.Message, r.lastLines(4)...)
	}
}

// sessionFailed judges a connection that TLS was reached on, and no session.
func (r *run) sessionFailed(e *starttls.Error) (lives bool) {
	r.Error = describeError(e)
	if !errors.Is(e, context.Canceled) {
		r.add("probe-failed", "inside TLS: "+r.Error.Message)
	}
	return false
}

func describeError(e *starttls.Error) *Error {
	message := e.Err.Error()
	switch {
	case errors.Is(e, io.EOF):
		message = "the server closed the connection"
	case errors.Is(e, syscall.ECONNRESET), errors.Is(e, syscall.EPIPE): // said with both ends' addresses, ours another one each time
		message = "the server closed the connection (reset)"
	}
	return &Error{Stage: string(e.Stage), Message: message, Hint: hint(e)}
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// refused tells a refusal of TLS from one of the whole connection.
func (r *run) refused(e *starttls.Error, reply *starttls.RefusedError, evidence []string) {
	switch {
	case !e.Asked && reply.Temporary:
		r.noVerdict(Throttled)
	case !e.Asked:
		r.noVerdict(Refused)
	case !e.Before.Offered && !reply.Temporary: // a protocol in which one asks to learn of it
		r.Outcome = NotOffered
		r.add("not-offered", reply.Error(), evidence...)
	default:
		r.Outcome = Refused
		r.add("refused", reply.Error(), evidence...)
	}
}

// cleartext is what was said before TLS, as lines.
func cleartext(t starttls.Transcript) (lines []string) {
	for _, e := range t {
		if !e.TLS {
			lines = append(lines, e.Lines()...)
		}
	}
	return lines
}

func (r *run) lastLines(n int) []string { return lastLines(r.Transcript, n) }

func lastLines(lines []string, n int) []string {
	return slices.Clone(lines[max(0, len(lines)-n):])
}

// hint says what to look at next, where the stage tells.
func hint(e *starttls.Error) string {
	var dns *net.DNSError
	switch {
	case errors.As(e, &dns):
		return "check the spelling of the name, or name a resolver with --resolver"
	case errors.Is(e, syscall.ECONNREFUSED):
		return "nothing listens there: is the port right?"
	case e.Stage == starttls.StageDial && (e.Timeout() || errors.Is(e, os.ErrDeadlineExceeded)):
		return "a firewall may drop the packets; many networks block port 25 to the outside"
	case e.Stage == starttls.StageCleartext && e.Timeout():
		return "is it really this protocol that listens there, and not one that begins with TLS? --timeout waits longer"
	case e.Timeout():
		return "--timeout waits longer"
	}
	return ""
}
