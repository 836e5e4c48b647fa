package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/reflection"
)

// ReflectOptions say what a Reflector serves and where.
type ReflectOptions struct {
	Protocols []starttls.Protocol // nil: all
	Listen    string              // ADDRESS:PORT (one protocol, or port 0: free ones) or ADDRESS (each protocol's usual port)
	Report    string              // ADDRESS:PORT of the record
	Name      string              // of the server, in its certificate; "": localhost
}

// Reflector is a server that is honest, and keeps what reaches it and what it
// says, byte by byte, for who has its key to compare with what he sent and was
// told: between the two is the path. Connections end with the handshake; nobody
// can sign in.
type Reflector struct {
	Addr     string // of the record
	Key      string // for the other end, with Addr
	Services []ReflectedService

	key       reflection.Key
	listed    []reflection.Service
	ledger    ledger
	cancel    context.CancelFunc
	listeners []net.Listener
	running   sync.WaitGroup
}

// ReflectedService is one address of a Reflector.
type ReflectedService struct {
	Protocol starttls.Protocol
	Addr     string
}

// How many connections are served at a time, at all ports and at the record's;
// and how long one may take, in clear, in the handshake and to leave.
const (
	mostReflected  = 64
	mostAsking     = 32
	reflectionTime = 10 * time.Second
)

// Reflect starts a Reflector. Close it.
func Reflect(ctx context.Context, o ReflectOptions) (*Reflector, error) {
	if o.Protocols == nil {
		o.Protocols = Protocols()
	}
	if o.Name == "" {
		o.Name = hostName
	}
	k, err := newPKI(o.Name)
	if err != nil {
		return nil, err
	}
	cfg, err := k.good()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &Reflector{key: reflection.NewKey(), cancel: cancel, ledger: ledger{changed: make(chan struct{})}}
	r.Key = r.key.String()
	if err := r.open(ctx, o, cfg); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reflector) open(ctx context.Context, o ReflectOptions, cfg *tls.Config) error {
	slots := make(chan struct{}, mostReflected)
	for _, p := range o.Protocols {
		at := o.Listen
		if _, _, err := net.SplitHostPort(at); err != nil {
			at = net.JoinHostPort(at, strconv.Itoa(p.Info().Port))
		}
		l, err := r.listen(ctx, at, slots, func(nc net.Conn) { r.serve(ctx, nc, p, cfg) })
		if err != nil {
			return err
		}
		r.Services = append(r.Services, ReflectedService{p, l.Addr().String()})
		r.listed = append(r.listed, reflection.Service{Protocol: p.Info().Name, Port: l.Addr().(*net.TCPAddr).Port, KeyID: reflection.KeyID(cfg.Certificates[0].Leaf)})
	}
	l, err := r.listen(ctx, o.Report, make(chan struct{}, mostAsking), func(nc net.Conn) { reflection.Serve(ctx, nc, r.key, r.answer) })
	if err == nil {
		r.Addr = l.Addr().String()
	}
	return err
}

// listen serves connections; those for which there is no slot are closed.
func (r *Reflector) listen(ctx context.Context, at string, slots chan struct{}, serve func(net.Conn)) (net.Listener, error) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, err
	}
	r.listeners = append(r.listeners, l)
	r.running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case slots <- struct{}{}:
				r.running.Go(func() {
					defer func() { <-slots }()
					defer nc.Close()
					serve(nc)
				})
			default:
				nc.Close()
			}
		}
	})
	return l, nil
}

// Close ends it and its connections.
func (r *Reflector) Close() {
	r.cancel()
	for _, l := range r.listeners {
		l.Close()
	}
	r.running.Wait()
}

// serve speaks the protocol's half with one client, up to the end of the
// handshake, and keeps what was said.
func (r *Reflector) serve(ctx context.Context, nc net.Conn, p starttls.Protocol, cfg *tls.Config) {
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	tap := &reflection.Tap{Conn: nc}
	number := r.ledger.begin(p, nc, tap)
	_, err := starttls.Server(ctx, tap, p, &starttls.Config{TLS: cfg, Bare: true, NoTranscript: true, OnTLS: tap.Upgrade,
		Timeouts: starttls.Timeouts{Cleartext: reflectionTime, Handshake: reflectionTime}, Limits: starttls.Limits{Bytes: reflection.Most}})
	if err == nil {
		nc.SetDeadline(time.Now().Add(reflectionTime))
		io.Copy(io.Discard, io.LimitReader(tap, reflection.Most)) // until the client leaves
	}
	nc.Close()
	r.ledger.end(number, errors.Unwrap(err))
}

// byPeer reports whether err is the end of a connection that the other side, the
// path or time has ended.
func byPeer(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network)
}

// answer tells of the connections that are asked for.
func (r *Reflector) answer(ctx context.Context, q reflection.Question) reflection.Answer {
	a := reflection.Answer{Schema: reflection.Schema, Services: r.listed}
	late := time.NewTimer(reflection.Patience)
	defer late.Stop()
	for {
		var settled bool
		var changed <-chan struct{}
		a.Last, a.Connections, settled, changed = r.ledger.after(q)
		if settled || q.After < 0 {
			return a
		}
		select {
		case <-changed:
		case <-late.C:
			return a
		case <-ctx.Done():
			return a
		}
	}
}
