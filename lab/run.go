package lab

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/starttls"
)

// Options are what Run does. The zero value runs every case of every protocol
// on loopback.
type Options struct {
	Protocols []starttls.Protocol // nil: all
	Cases     []string            // their ids; nil: all. The honest one always runs
	Expect    Expect              // "": Required
	Host      string              // whom certificates are for and clients are told; "": localhost
	Listen    string              // address to listen at, without a port; "": 127.0.0.1
	Parallel  int                 // cases at a time; 0: 8
	Limits    Limits
	OnResult  func(Result) // told of each result as it comes, one at a time; may be nil
}

// Limits bounds the lab's patience. A zero field means the default in brackets.
type Limits struct {
	Connection time.Duration // one connection, as a whole (10 s)
	Idle       time.Duration // silence of a client (3 s)
	Withhold   time.Duration // how long an answer is kept back (700 ms)
	Linger     time.Duration // for sessions whose client has ended (2 s)
}

func (l Limits) withDefaults() Limits {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&l.Connection, 10*time.Second)
	def(&l.Idle, 3*time.Second)
	def(&l.Withhold, 700*time.Millisecond)
	def(&l.Linger, 2*time.Second)
	return l
}

func (o Options) withDefaults() Options {
	if o.Protocols == nil {
		o.Protocols = Protocols()
	}
	if o.Expect == "" {
		o.Expect = Required
	}
	if o.Host == "" {
		o.Host = hostName
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1"
	}
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	o.Limits = o.Limits.withDefaults()
	return o
}

// Call is what a client is told of the server it is to meet.
type Call struct {
	Protocol       starttls.Protocol
	Case           string
	Run            int    // the how manieth of the case, from 0
	Host, Port     string // the name of the server, and its port
	Addr           string // both
	User, Password string // to sign in with: different ones in each case
	Roots          *x509.CertPool
	RootPEM        []byte
}

// Ended is how a client's run ended: in words, with the file of what it printed,
// if there is one.
type Ended struct {
	How, Log string

	panicked bool
}

// Client runs a client once against the server it is told of, and returns when
// it has ended. It must be safe for several calls at a time.
type Client func(ctx context.Context, c Call) Ended

// Run has a client meet each case, and says how it fared.
func Run(ctx context.Context, o Options, client Client) (Report, error) {
	o = o.withDefaults()
	rep := Report{Schema: Schema, Expect: o.Expect}
	k, err := newPKI(o.Host, "127.0.0.1", "::1")
	if err != nil {
		return rep, err
	}
	var plan []*trial
	for _, p := range o.Protocols {
		for _, c := range For(p, "") {
			if o.Cases == nil || slices.Contains(o.Cases, c.ID) || c.ID == honestID {
				plan = append(plan, &trial{options: o, protocol: p, id: c.ID, pki: k})
			}
		}
	}
	rep.Results = make([]Result, len(plan))
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, o.Parallel)
	for i, t := range plan {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r := t.run(ctx, client)
			mu.Lock()
			defer mu.Unlock()
			rep.Results[i] = r
			if o.OnResult != nil {
				o.OnResult(r)
			}
		})
	}
	wg.Wait()
	settle(rep.Results)
	return rep, ctx.Err()
}

// trial is one case of one protocol, to be met by a client.
type trial struct {
	options  Options
	protocol starttls.Protocol
	id       string
	pki      *pki
	bait     Bait
	trap     *stall
}

// run has the client meet the case, as many times as it has lies.
func (t *trial) run(ctx context.Context, client Client) Result {
	start := time.Now()
	r := Result{Protocol: t.protocol.Info().Name, Case: t.id, Leaks: []Leak{}, Evidence: []string{}}
	t.bait = newBait(t.id)
	c, s, err := t.open(ctx)
	r.Title, r.References = c.Title, append([]string{}, c.References...)
	if err != nil {
		r.Verdict, r.Score, r.Detail = Inconclusive, Closed, err.Error()
		return r
	}
	for i := range c.lies {
		s.turn(c.lies[i])
		ended := unpanicked(ctx, client, t.call(c, s, i))
		r.Client, r.Log = ended.How, ended.Log
		r.panicked = r.panicked || ended.panicked
	}
	sessions, transcript := s.close()
	trapped, _ := t.trap.close()
	r.Connections = len(sessions)
	r.judge(c, t.options.Expect, sessions, trapped)
	for _, e := range transcript {
		r.Evidence = append(r.Evidence, e.Lines()...)
	}
	r.Millis = time.Since(start).Milliseconds()
	return r
}

// unpanicked runs a client, and tells where it ended by a panic.
func unpanicked(ctx context.Context, client Client, c Call) (ended Ended) {
	defer func() {
		if p := recover(); p != nil {
			ended = Ended{How: fmt.Sprintf("panic: %v", p), panicked: true}
		}
	}()
	return client(ctx, c)
}

// open starts the case's server, and the trap that its referrals lead to.
func (t *trial) open(ctx context.Context) (c Case, s *stall, err error) {
	c, err = Lookup(t.id)
	if err != nil {
		return c, nil, err
	}
	if t.trap, err = t.listen(ctx, trapAddress); err != nil {
		return c, nil, err
	}
	t.trap.turn(lie{mode: starttls.Hide})
	c, why := c.of(t.protocol, t.trap.addr())
	if why != "" {
		return c, nil, fmt.Errorf("%s", why)
	}
	s, err = t.listen(ctx, t.options.Listen)
	return c, s, err
}

// trapAddress is where referrals lead: an address that is loopback too, but not
// the server's own.
const trapAddress = "127.0.0.2"

func (t *trial) listen(ctx context.Context, address string) (*stall, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil && address == trapAddress { // a system with one loopback address alone
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	return newStall(ctx, l, func(_ net.Conn, told lie) *session {
		return &session{rehearsal: rehearse(t.protocol), pki: t.pki, limits: t.options.Limits, bait: t.bait, lie: told}
	}, t.options.Limits.Linger), nil
}

func (t *trial) call(c Case, s *stall, run int) Call {
	host, port, _ := net.SplitHostPort(s.addr())
	if t.options.Host != "" {
		host = t.options.Host
	}
	if c.host != "" {
		host = c.host
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.pki.trusted.Certificate.Raw})
	return Call{Protocol: t.protocol, Case: c.ID, Run: run, Host: host, Port: port, Addr: net.JoinHostPort(host, port),
		User: t.bait.User, Password: t.bait.Password, Roots: t.pki.trusted.Pool(), RootPEM: root}
}

// newBait makes a user and a password that are this case's alone.
func newBait(id string) Bait {
	b := make([]byte, 8)
	rand.Read(b)
	return Bait{User: "lab-" + strings.ToLower(id), Password: "bait-" + hex.EncodeToString(b)}
}

// stall is a listener with a lie.
type stall struct {
	listener net.Listener
	session  func(net.Conn, lie) *session // makes one
	ended    func(*session, gained)       // told of each as it ends; may be nil
	linger   time.Duration
	cancel   context.CancelFunc
	accepts  sync.WaitGroup
	sessions sync.WaitGroup

	mu         sync.Mutex
	lie        lie
	got        []gained
	transcript starttls.Transcript
}

func newStall(ctx context.Context, l net.Listener, session func(net.Conn, lie) *session, linger time.Duration) *stall {
	ctx, cancel := context.WithCancel(ctx)
	s := &stall{listener: l, session: session, linger: linger, cancel: cancel}
	s.accepts.Go(func() { s.acceptLoop(ctx) })
	return s
}

func (s *stall) addr() string { return s.listener.Addr().String() }

// turn sets the lie of the connections to come.
func (s *stall) turn(l lie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lie = l
}

func (s *stall) acceptLoop(ctx context.Context) {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.sessions.Go(func() { s.serve(ctx, nc) })
	}
}

func (s *stall) serve(ctx context.Context, nc net.Conn) {
	s.mu.Lock()
	told := s.lie
	s.mu.Unlock()
	one := s.session(nc, told)
	got := one.serve(ctx, nc)
	if s.ended != nil {
		s.ended(one, got)
		return // it may run for days: nothing is kept
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, got)
	s.transcript = append(s.transcript, one.transcript...)
}

// close stops listening, lets the sessions whose client is gone end by
// themselves, ends the others, and returns what they had.
func (s *stall) close() ([]gained, starttls.Transcript) {
	s.listener.Close()
	s.accepts.Wait()
	t := time.AfterFunc(s.linger, s.cancel)
	s.sessions.Wait()
	t.Stop()
	s.cancel()
	return s.got, s.transcript
}
