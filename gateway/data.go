package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// portRange is where data connections come in; nil is any port.
type portRange struct{ first, last int }

func parsePortRange(text string) (*portRange, error) {
	if text == "" {
		return nil, nil
	}
	a, b, ok := strings.Cut(text, "-")
	first, err1 := strconv.Atoi(a)
	last, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || first < 1 || last > 65535 || first > last {
		return nil, fmt.Errorf("passive_ports %q is no range: 50000-50100", text)
	}
	return &portRange{first, last}, nil
}

// listen opens a free port of the range.
func (r *portRange) listen(ip net.IP) (*net.TCPListener, error) {
	if r == nil {
		return net.ListenTCP("tcp", &net.TCPAddr{IP: ip})
	}
	n := r.last - r.first + 1
	for i, at := 0, rand.IntN(n); i < n; i++ {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: r.first + (at+i)%n})
		if err == nil {
			return l, nil
		}
	}
	return nil, errors.New("no port is free for a data connection")
}

// dataPorts are the data connections of one session.
type dataPorts struct {
	tls *tls.Config // towards the backend; nil: in clear

	mu     sync.Mutex
	open   map[io.Closer]struct{}
	closed bool
}

// ticket keeps the newest TLS session of one control connection, whatever its
// key, for data connections to resume: by that servers know that both are one
// client's.
type ticket struct {
	latest atomic.Pointer[tls.ClientSessionState]
}

func (t *ticket) Get(string) (*tls.ClientSessionState, bool) {
	s := t.latest.Load()
	return s, s != nil
}

func (t *ticket) Put(_ string, s *tls.ClientSessionState) { t.latest.Store(s) }

const (
	dataWait = time.Minute // for the client to come, and for its handshake
	dataMost = 8           // ports and connections of one session at once
)

// openData is starttls.Splice.Data.
func (s *session) openData(backend string, private bool) (*net.TCPAddr, error) {
	to, err := netip.ParseAddrPort(backend)
	if err != nil {
		return nil, err
	}
	if host, ok := addrOf(s.below.RemoteAddr()); ok && host != to.Addr().Unmap() {
		return nil, fmt.Errorf("the backend names %s, which is another host", to.Addr())
	}
	local, ok := s.client.Conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return nil, errors.New("the client is not on TCP")
	}
	l, err := s.passive.listen(local.IP)
	if err != nil {
		return nil, err
	}
	if !s.data.add(l) {
		l.Close()
		return nil, errors.New("too many data connections")
	}
	l.SetDeadline(time.Now().Add(dataWait))
	go s.carry(l, to, private)
	told := *l.Addr().(*net.TCPAddr)
	if s.PublicIP != "" {
		told.IP = net.ParseIP(s.PublicIP)
	} else if front, ok := s.client.local.(*net.TCPAddr); ok {
		told.IP = front.IP
	}
	return &told, nil
}

// carry joins one data connection with the backend's.
func (s *session) carry(l *net.TCPListener, to netip.AddrPort, private bool) {
	defer s.data.drop(l)
	nc, err := s.acceptData(l)
	if err != nil {
		return
	}
	l.Close()
	defer nc.Close()
	if !s.data.add(nc) {
		return
	}
	defer s.data.drop(nc)
	r := &relay{idle: s.Limits.Idle, linger: lingerTime}
	if r.client, r.backend, err = s.dataEnds(nc, to.String(), private); err != nil {
		s.log.Info("no data connection", "client", s.client.client.String(), "err", err)
		return
	}
	ended := make(chan struct{})
	r.start(func() { close(ended) })
	<-ended
}

// dataEnds puts TLS where it belongs.
func (s *session) dataEnds(nc net.Conn, to string, private bool) (client, backend *end, err error) {
	ctx, cancel := context.WithTimeout(s.g.base, dataWait)
	defer cancel()
	bc, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, nil, err
	}
	handshake := func(below *conn, wanted bool, layer func() *tls.Conn) (*end, error) {
		e := &end{conn: below, below: below}
		if !wanted {
			return e, nil
		}
		tc := layer()
		e.conn, e.tls = tc, true
		return e, tc.HandshakeContext(ctx)
	}
	cb, bb := newConn(nc), newConn(bc)
	client, err = handshake(cb, private, func() *tls.Conn { return tls.Server(cb, s.service.front.TLS) })
	if err == nil {
		backend, err = handshake(bb, s.data.tls != nil, func() *tls.Conn { return tls.Client(bb, s.data.tls) })
	}
	if err != nil {
		bc.Close()
	}
	return client, backend, err
}

// acceptData waits for the client: a connection from elsewhere is somebody
// else's, who guesses ports.
func (s *session) acceptData(l *net.TCPListener) (net.Conn, error) {
	want, _ := addrOf(s.client.Conn.RemoteAddr())
	for {
		nc, err := l.Accept()
		if err != nil {
			return nil, err
		}
		if from, ok := addrOf(nc.RemoteAddr()); ok && from == want {
			return nc, nil
		}
		nc.Close()
	}
}

func (d *dataPorts) add(c io.Closer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.open) >= dataMost {
		return false
	}
	if d.open == nil {
		d.open = map[io.Closer]struct{}{}
	}
	d.open[c] = struct{}{}
	return true
}

func (d *dataPorts) drop(c io.Closer) {
	c.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, c)
}

// close ends what is open with the session.
func (d *dataPorts) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c := range d.open {
		c.Close()
	}
}
