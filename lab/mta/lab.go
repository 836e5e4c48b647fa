// Package mta judges mail servers as senders: it has a DNS zone that it signs, a
// policy host and mail servers of domains whose DANE, MTA-STS, REQUIRETLS and
// TLSRPT are sound or not, a domain for each case, so that one message sent there
// tells how a sender fares. [Open] starts it, [Lab.Run] has a sender meet each
// case.
//
// All of it is on loopback, and each mail server has an address of its own, since
// senders know but one port. That needs a system whose whole 127.0.0.0/8 is
// loopback, as Linux's is.
package mta

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"example.org/starttls/internal/testdns"
	"example.org/starttls/lab"

	"golang.org/x/net/netutil"
)

// Options say what is served where. The zero value serves every case at free
// ports.
type Options struct {
	Cases    []Case           // nil: all
	First    netip.Addr       // of the mail servers' addresses; zero: 127.25.0.1
	Port     int              // of the mail servers; 0: a free one
	HTTPS    int              // port of the policy hosts; 0: a free one
	DNS      string           // address of the name server of both zones; "": a free port of 127.0.0.1
	Resolver string           // address of a server that answers as a resolver that has validated; "": likewise
	OnResult func(lab.Result) // told of each connection to a mail server, and each report; may be nil
}

// Lab is what Open has started.
type Lab struct {
	DNS, Resolver string // addresses
	Port, HTTPS   int
	RootPEM       []byte // of the authority that senders are to trust

	pki           *pki
	sites         []*site
	reports       *reports
	dns, resolver *testdns.Server
	onResult      func(lab.Result)

	ctx      context.Context
	cancel   context.CancelFunc
	closers  []func()
	running  sync.WaitGroup
	resultMu sync.Mutex
}

// Served is a case and where it is.
type Served struct {
	Case
	Domain string
	Addrs  []string // of its mail servers
}

// Open starts the lab. Close it.
func Open(ctx context.Context, o Options) (*Lab, error) {
	if o.Cases == nil {
		o.Cases = Catalogue()
	}
	if !o.First.IsValid() {
		o.First = netip.AddrFrom4([4]byte{127, 25, 0, 1})
	}
	for _, addr := range []*string{&o.DNS, &o.Resolver} {
		if *addr == "" {
			*addr = "127.0.0.1:0"
		}
	}
	l := &Lab{Port: o.Port, HTTPS: o.HTTPS, onResult: o.OnResult}
	l.ctx, l.cancel = context.WithCancel(ctx)
	if err := l.open(o); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) open(o Options) (err error) {
	if l.pki, err = newPKI(); err != nil {
		return err
	}
	l.RootPEM = l.pki.trusted.PEM()
	ip := o.First
	next := func() string { defer func() { ip = ip.Next() }(); return ip.String() }
	if l.reports, err = l.serveReports(next()); err != nil {
		return err
	}
	for _, c := range o.Cases {
		s := &site{Case: c, domain: c.domain(), lab: l, events: make(chan struct{}, 1)}
		if err := s.open(next); err != nil {
			return fmt.Errorf("%s: %w", c.ID, err)
		}
		l.sites = append(l.sites, s)
	}
	return l.serveDNS(o)
}

// most is how many connections there are at a time to one server of the lab;
// others wait to be accepted.
const most = 32

// listen opens a port of an address: *port, or a free one, which *port is then.
func (l *Lab) listen(ip string, port *int) (net.Listener, error) {
	nl, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(*port)))
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, func() { nl.Close() })
	*port = nl.Addr().(*net.TCPAddr).Port
	return netutil.LimitListener(nl, most), nil
}

// Served tells what is served where.
func (l *Lab) Served() (out []Served) {
	for _, s := range l.sites {
		served := Served{Case: s.Case, Domain: s.domain}
		for _, h := range s.hosts {
			served.Addrs = append(served.Addrs, net.JoinHostPort(h.ip, strconv.Itoa(l.Port)))
		}
		out = append(out, served)
	}
	return out
}

// Close ends all servers and their connections.
func (l *Lab) Close() {
	l.cancel()
	for _, c := range slices.Backward(l.closers) {
		c()
	}
	l.running.Wait()
}

// tell tells of a result.
func (l *Lab) tell(r lab.Result) {
	if l.onResult == nil {
		return
	}
	l.resultMu.Lock()
	defer l.resultMu.Unlock()
	l.onResult(r)
}
