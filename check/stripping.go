package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.org/starttls"
)

// Signs that an offer of TLS was removed on the way. One strong sign proves it;
// of the weak ones it takes two: a server may simply have no TLS.

// They are compiled at their first use: most checks meet none of these signs.
var (
	// masked matches a capability that was overwritten, its length kept.
	masked = atFirstUse(`^(X{2,}[A-Z]?|\*{2,}|#{2,})\s*$`)
	// maskedBanner matches a greeting whose words are overwritten.
	maskedBanner = atFirstUse(`^\S+ [*X#]{4,}`)
	// rewritten matches a refusal that quotes a command of letters overwritten.
	rewritten = atFirstUse(`\bX{4,}\b|\*{4,}`)
)

func atFirstUse(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// notOffered looks for the signs. Where the server consents when it is asked all
// the same, the visit that it consented to is returned.
func (r *run) notOffered(ctx context.Context, v visit, evidence []string) visit {
	r.Outcome = NotOffered
	if i := slices.IndexFunc(r.StartTLS.Before, masked().MatchString); i >= 0 {
		r.Outcome = Stripped
		r.add("masked-keyword", "the server's list has "+strconv.Quote(r.StartTLS.Before[i])+" where a keyword should be", evidence...)
	}
	if r.options.Level >= Handshake {
		if found, ok := r.askUnoffered(ctx); ok {
			return found
		}
	}
	if r.Outcome == Stripped {
		return v
	}
	if signs := r.weakSigns(ctx); len(signs) > 1 {
		r.Outcome = Stripped
		r.add("offer-suspect", strings.Join(signs, "; "), evidence...)
	} else {
		r.add("not-offered", strings.Join(signs, ""), evidence...)
	}
	return v
}

// spelling is a way to write the request for TLS that a filter on the way may
// not know.
type spelling struct {
	name  string
	write func(msg []byte) []starttls.Segment
}

var spellings = []spelling{
	{"", func(msg []byte) []starttls.Segment { return []starttls.Segment{{Data: msg}} }},
	{"in mixed case", func(msg []byte) []starttls.Segment { return []starttls.Segment{{Data: mixedCase(msg)}} }},
	{"in two segments", func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: msg[:len(msg)/2]}, {Data: msg[len(msg)/2:], Delay: 50 * time.Millisecond}}
	}},
	{"with a space at its end", func(msg []byte) []starttls.Segment {
		line, end := cutEnd(msg)
		return []starttls.Segment{{Data: slices.Concat(line, []byte(" "), end)}}
	}},
}

func mixedCase(msg []byte) []byte {
	out := bytes.ToLower(msg)
	for i := 1; i < len(out); i += 2 {
		out[i] = bytes.ToUpper(out[i : i+1])[0]
	}
	return out
}

// cutEnd takes the line end off a message.
func cutEnd(msg []byte) (line, end []byte) {
	n := len(bytes.TrimRight(msg, "\r\n"))
	return msg[:n], msg[n:]
}

// askUnoffered asks for TLS although it is not offered (RFC 9325, section 3.2),
// in several spellings where the protocol is made of text, until the server
// consents.
func (r *run) askUnoffered(ctx context.Context) (visit, bool) {
	for _, s := range spellings {
		if s.name != "" && (r.target.Protocol.Info().Binary || r.options.Level < ActiveProbes) {
			break
		}
		v := r.visit(ctx, func(c *starttls.Config) { c.Blind, c.OnAsk = true, s.write })
		detail := "the server does not list TLS, yet it consents when asked"
		if s.name != "" {
			detail = "the server does not list TLS and refuses the request as it is usually written, yet it consents to one written " + s.name
		}
		var e *starttls.Error
		var refused *starttls.RefusedError
		switch {
		case v.err == nil:
			r.Error, r.blind = nil, true
			r.add("offer-removed", detail, lastLines(cleartext(v.conn.Transcript()), 4)...)
			return v, true
		case !errors.As(v.err, &e):
		case e.Stage == starttls.StageHandshake:
			r.Outcome, r.StartTLS.Accepted = Stripped, true
			r.add("offer-removed", detail+"; then the handshake fails: "+e.Err.Error(), lastLines(cleartext(e.Transcript), 4)...)
			return v, true
		case errors.As(v.err, &refused) && rewritten().Match(refused.Reply):
			r.Outcome = Stripped
			r.add("request-rewritten", "the server answers "+starttls.Quote(refused.Reply)+" to a request that was sent in full", lastLines(cleartext(e.Transcript), 4)...)
			return visit{err: v.err}, false
		case !errors.As(v.err, &refused):
			return visit{}, false // closed or silent: no use in asking on
		}
	}
	return visit{}, false
}

// weakSigns are those that prove nothing alone.
func (r *run) weakSigns(ctx context.Context) (signs []string) {
	if len(r.Transcript) > 0 && maskedBanner().MatchString(strings.TrimPrefix(r.Transcript[0], "S: ")) {
		signs = append(signs, "the greeting is overwritten: "+starttls.Quote([]byte(r.Transcript[0])))
	}
	info := r.target.Protocol.Info()
	if info.ImplicitTLS != 0 && r.target.Port == info.Port && r.options.Level >= Handshake && r.implicitVerifies(ctx, info) {
		signs = append(signs, "the same host has TLS on port "+strconv.Itoa(info.ImplicitTLS)+", with a certificate that verifies")
	}
	return signs
}

// implicitVerifies reports whether the form that begins with TLS is served on
// its usual port of the same address, with a certificate that verifies.
func (r *run) implicitVerifies(ctx context.Context, info starttls.Info) bool {
	conn, err := r.visitImplicit(ctx, info, &tls.Config{RootCAs: r.options.Roots})
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// visitImplicit connects to the usual port of the form that begins with TLS.
func (r *run) visitImplicit(ctx context.Context, info starttls.Info, t *tls.Config) (*starttls.Conn, error) {
	host, _, err := net.SplitHostPort(r.target.Address)
	if err != nil {
		return nil, err
	}
	if err := r.connector.turn(ctx); err != nil {
		return nil, err
	}
	cfg := &starttls.Config{Mode: starttls.Implicit, ServerName: r.options.Name, Dialer: r.connector.open, TLS: t, Bare: true,
		Timeouts: starttls.Timeouts{Dial: r.options.Timeout, Handshake: r.options.Timeout}}
	return starttls.Dial(ctx, net.JoinHostPort(host, strconv.Itoa(info.ImplicitTLS)), r.target.Protocol, cfg)
}
