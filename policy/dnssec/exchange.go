package dnssec

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	udpSize   = 1232            // bytes that pass without fragments (RFC 9715); TCP beyond
	maxCNAMEs = 10              // in a row, whoever follows them
	perTry    = 3 * time.Second // one exchange over UDP or TCP
	rounds    = 2               // in which every server is tried
	perLookup = 10 * time.Second
	maxTTL    = (1<<31 - 1) * time.Second // RFC 2181, section 8
)

// records looks up the records of one type, and has get read them.
func records[R dns.RR, T any](ctx context.Context, r *Resolver, name string, rrtype uint16, get func(R) T) (Answer[T], error) {
	raw, err := r.lookup(ctx, name, rrtype)
	a := Answer[T]{Name: raw.Name, TTL: raw.TTL, Secure: raw.Secure, NXDomain: raw.NXDomain, Server: raw.Server}
	for _, rr := range raw.Records {
		if v, ok := rr.(R); ok {
			a.Records = append(a.Records, get(v))
		}
	}
	return a, err
}

// lookup asks for the records of one type and follows CNAMEs, if the resolver
// has not. One insecure link makes the whole insecure (RFC 7672, section 2.1.3).
func (r *Resolver) lookup(ctx context.Context, name string, rrtype uint16) (a Answer[dns.RR], err error) {
	limit := cmp.Or(r.Timeout, perLookup)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	a = Answer[dns.RR]{Name: undot(dns.CanonicalName(name)), Secure: true, TTL: maxTTL}
	for links := 0; ; {
		var reply *dns.Msg
		if reply, a.Server, err = r.ask(ctx, a.Name, rrtype); err != nil {
			break
		}
		a.Secure = a.Secure && reply.AuthenticatedData && a.Server.Trust != Untrusted
		moved := read(&a, reply, rrtype)
		if links += moved; links > maxCNAMEs {
			err = fmt.Errorf("more than %d CNAMEs in a row", maxCNAMEs)
			break
		}
		if len(a.Records) > 0 || a.NXDomain || moved == 0 {
			return a, nil
		}
	}
	e := &Error{Name: undot(name), Type: dns.Type(rrtype).String(), Server: a.Server, Err: err}
	var bogus *bogusError
	e.Bogus = errors.As(err, &bogus)
	return Answer[dns.RR]{Name: a.Name, Server: a.Server}, e
}

// read takes from the reply what it has of the type, having followed the
// CNAMEs that lead there, and tells how many those were. It stops where there
// are too many.
func read(a *Answer[dns.RR], reply *dns.Msg, rrtype uint16) (moved int) {
	a.NXDomain = reply.Rcode == dns.RcodeNameError
	for {
		alias := ""
		for _, rr := range reply.Answer {
			h := rr.Header()
			if !strings.EqualFold(undot(h.Name), a.Name) {
				continue
			}
			c, isAlias := rr.(*dns.CNAME)
			if h.Rrtype == rrtype {
				a.Records = append(a.Records, rr)
			} else if isAlias {
				alias = undot(dns.CanonicalName(c.Target))
			} else {
				continue
			}
			a.TTL = min(a.TTL, time.Duration(h.Ttl)*time.Second)
		}
		if alias == "" || len(a.Records) > 0 || moved > maxCNAMEs {
			return moved
		}
		a.Name = alias
		moved++
	}
}

// ask puts the question to the servers in turn, and returns the first reply
// that is an answer and the server that was asked last.
func (r *Resolver) ask(ctx context.Context, name string, rrtype uint16) (reply *dns.Msg, server Server, err error) {
	if _, ok := dns.IsDomainName(name); !ok {
		return nil, server, errors.New("not a domain name")
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), rrtype)
	q.SetEdns0(udpSize, true)
	err = errors.New("no name server to ask")
	for range rounds {
		for _, server = range r.Servers {
			if reply, err = exchange(ctx, q, server.Addr); err != nil {
				if ended(ctx) {
					return nil, server, context.Cause(ctx)
				}
				continue
			}
			switch reply.Rcode {
			case dns.RcodeSuccess, dns.RcodeNameError:
				return reply, server, nil
			case dns.RcodeServerFailure:
				// Another server might not validate: asking it would let bogus data pass.
				return nil, server, serverFailure(ctx, q, reply, server.Addr)
			}
			err = errors.New("the server answered " + dns.RcodeToString[reply.Rcode])
		}
	}
	return nil, server, err
}

// ended reports whether there is no time left. A connection may notice that
// before the context does, which is waited for.
func ended(ctx context.Context) bool {
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// bogusError is SERVFAIL where the server has an answer that it disproved.
type bogusError struct{ why string }

func (e *bogusError) Error() string { return "DNSSEC validation failed" + e.why }

// serverFailure tells SERVFAIL because of DNSSEC from other failures: then the
// answer is there when asked for without validation (CD, RFC 4035, section
// 3.2.2).
func serverFailure(ctx context.Context, q, reply *dns.Msg, addr string) error {
	why := ""
	if opt := reply.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok { // RFC 8914
				why += ": " + dns.ExtendedErrorCodeToString[e.InfoCode]
				if e.ExtraText != "" {
					why += fmt.Sprintf(" %.100q", e.ExtraText)
				}
			}
		}
	}
	unchecked := q.Copy()
	unchecked.CheckingDisabled = true
	if reply, err := exchange(ctx, unchecked, addr); err == nil && (reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError) {
		return &bogusError{why}
	}
	return errors.New("the server answered SERVFAIL" + why)
}

// exchange sends the question over UDP, and over TCP if the answer is longer.
func exchange(ctx context.Context, q *dns.Msg, addr string) (*dns.Msg, error) {
	reply, err := exchangeOver(ctx, "udp", q, addr)
	if err == nil && reply.Truncated {
		reply, err = exchangeOver(ctx, "tcp", q, addr)
	}
	return reply, err
}

func exchangeOver(ctx context.Context, network string, q *dns.Msg, addr string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, perTry)
	defer cancel()
	client := dns.Client{Net: network, Timeout: perTry}
	conn, err := client.DialContext(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	q.Id = dns.Id()
	reply, _, err := client.ExchangeWithConnContext(ctx, q, conn)
	if err != nil {
		return nil, err
	}
	if !reply.Response || len(reply.Question) != 1 || !sameQuestion(reply.Question[0], q.Question[0]) {
		return nil, errors.New("the server answered another question")
	}
	return reply, nil
}

func sameQuestion(a, b dns.Question) bool {
	return strings.EqualFold(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
}

// wire is the rdata of a record, uncompressed.
func wire(rr dns.RR) ([]byte, error) {
	var u dns.RFC3597
	if err := u.ToRFC3597(rr); err != nil {
		return nil, err
	}
	return hex.DecodeString(u.Rdata)
}

// undot takes the final dot off a name, but leaves the root.
func undot(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
