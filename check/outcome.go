package check

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"example.org/starttls"
)

// failed judges why there is no TLS. Where the server does not offer it, it is
// asked all the same, and the connection returned if it agrees.
func (r *run) failed(ctx context.Context, e *starttls.Error) *starttls.Conn {
	r.Error = describeError(e)
	switch {
	case errors.Is(e, context.Canceled): // by our own user
		r.noVerdict(TimedOut)
	case e.Stage == starttls.StageDial && e.Timeout():
		r.noVerdict(TimedOut)
	case e.Stage == starttls.StageDial:
		r.noVerdict(Unreachable)
	case e.Stage == starttls.StageCleartext:
		return r.cleartextFailed(ctx, e)
	case e.Stage == starttls.StageHandshake:
		r.handshakeFailed(e)
	case r.seen != nil:
		r.negotiated(*r.seen)
		r.sessionFailed(e)
	}
	return nil
}

// noVerdict says that nothing can be told of the server's TLS.
func (r *run) noVerdict(o Outcome) { r.Outcome, r.unsure = o, true }

func (r *run) cleartextFailed(ctx context.Context, e *starttls.Error) *starttls.Conn {
	var refused *starttls.RefusedError
	var injected *starttls.InjectedError
	var reply *starttls.ReplyError
	var limit *starttls.LimitError
	evidence := r.lastLines(4)
	switch {
	case errors.Is(e, starttls.ErrNotOffered):
		return r.notOffered(ctx, evidence)
	case errors.Is(e, starttls.ErrAlreadyAuthenticated):
		r.Outcome = Refused
		r.add("already-authenticated", "", evidence...)
	case errors.As(e, &injected):
		r.Outcome, r.StartTLS.Accepted = Injected, r.asked
		r.add("reply-injected", injected.Error(), append(evidence, "S: "+starttls.Escape(string(injected.Bytes)))...)
	case errors.As(e, &refused):
		r.refused(e, refused, evidence)
	case e.Timeout():
		r.noVerdict(TimedOut)
	case closed(e) && r.asked:
		r.Outcome = Closed
		r.add("closed", "", evidence...)
	case closed(e):
		r.noVerdict(Closed)
	case (errors.As(e, &reply) || errors.As(e, &limit)) && r.asked:
		r.Outcome = Refused
		r.add("refused", e.Err.Error(), evidence...)
	case errors.As(e, &reply), errors.As(e, &limit):
		r.noVerdict(NotUnderstood)
		r.Error.Hint = "is it really this protocol that listens there?"
	default:
		r.noVerdict(Unreachable)
	}
	return nil
}

// handshakeFailed judges what came instead of TLS. A certificate may have been
// seen all the same.
func (r *run) handshakeFailed(e *starttls.Error) {
	if r.seen != nil {
		r.certificate(r.seen.PeerCertificates, r.options.Name)
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
func (r *run) sessionFailed(e *starttls.Error) {
	r.Error = describeError(e)
	if !errors.Is(e, context.Canceled) {
		r.add("probe-failed", "inside TLS: "+r.Error.Message)
	}
}

func describeError(e *starttls.Error) *Error {
	message := e.Err.Error()
	if errors.Is(e, io.EOF) {
		message = "the server closed the connection"
	}
	return &Error{Stage: string(e.Stage), Message: message, Hint: hint(e)}
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// masked matches a capability that was overwritten, its length kept.
var masked = regexp.MustCompile(`^(X{2,}[A-Z]?|\*{2,}|#{2,})\s*$`)

// notOffered looks for the signs of an offer that was removed on the way.
func (r *run) notOffered(ctx context.Context, evidence []string) *starttls.Conn {
	r.Outcome = NotOffered
	if i := slices.IndexFunc(r.StartTLS.Before, masked.MatchString); i >= 0 {
		r.Outcome = Stripped
		r.add("masked-keyword", "the server's list has "+strconv.Quote(r.StartTLS.Before[i])+" where a keyword should be", evidence...)
	}
	conn, err := r.dial(ctx, true, 0)
	var e *starttls.Error
	switch {
	case err == nil:
		r.Error = nil
		r.add("offer-removed", "", lastLines(cleartext(conn.Transcript()), 4)...)
		return conn
	case errors.As(err, &e) && e.Stage == starttls.StageHandshake:
		r.Outcome, r.StartTLS.Accepted = Stripped, true
		r.add("offer-removed", "the server does not list TLS, yet it consents when asked; then the handshake fails: "+e.Err.Error(), lastLines(cleartext(e.Transcript), 4)...)
	case r.Outcome == NotOffered:
		r.add("not-offered", "", evidence...)
	}
	return nil
}

// refused tells a refusal of TLS from one of the whole connection.
func (r *run) refused(e *starttls.Error, reply *starttls.RefusedError, evidence []string) {
	switch {
	case !r.asked && reply.Temporary:
		r.noVerdict(Throttled)
	case !r.asked:
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
