// Package bench measures what an upgrade costs beside a bare TLS handshake.
// See docs/performance.md.
package bench

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

var (
	table  = flag.Bool("table", false, "measure all protocols in pairs and print a table")
	rounds = flag.Int("rounds", 9, "pairs of batches for each protocol")
	batch  = flag.Int("batch", 60, "connections in a batch")
)

const name = "server.example.test"

// bed is a client and a server that trust each other, over loopback.
type bed struct {
	client, server *tls.Config
	listener       net.Listener
}

func newBed(t testing.TB) *bed {
	t.Helper()
	ca, err := testca.New("bench root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &bed{
		client: &tls.Config{ServerName: name, RootCAs: ca.Pool()},
		server: &tls.Config{Certificates: []tls.Certificate{cert}}, listener: l,
	}
}

// connect runs both ends once and returns them, at the first byte of the
// session.
type connect func() (client, server net.Conn, err error)

// ends opens a TCP connection and runs one function at each end of it.
func (b *bed) ends(client, server func(net.Conn) (net.Conn, error)) (net.Conn, net.Conn, error) {
	type end struct {
		conn net.Conn
		err  error
	}
	done := make(chan end, 1)
	go func() {
		nc, err := b.listener.Accept()
		if err == nil {
			nc, err = server(nc)
		}
		done <- end{nc, err}
	}()
	nc, err := net.Dial("tcp", b.listener.Addr().String())
	if err == nil {
		nc, err = client(nc)
	}
	s := <-done
	if err == nil {
		err = s.err
	}
	return nc, s.conn, err
}

// bare is crypto/tls alone.
func (b *bed) bare() (net.Conn, net.Conn, error) {
	return b.ends(
		func(nc net.Conn) (net.Conn, error) { c := tls.Client(nc, b.client); return c, c.Handshake() },
		func(nc net.Conn) (net.Conn, error) { c := tls.Server(nc, b.server); return c, c.Handshake() })
}

// upgrade is ours, in p. What must be settled after TLS is answered by p's own
// minimal session.
func (b *bed) upgrade(p starttls.Protocol) connect {
	cc := &starttls.Config{ServerName: name, TLS: b.client}
	sc := &starttls.Config{ServerName: name, TLS: b.server}
	_, settles := p.(starttls.Settler)
	return func() (net.Conn, net.Conn, error) {
		return b.ends(
			func(nc net.Conn) (net.Conn, error) { return starttls.Client(context.Background(), nc, p, cc) },
			func(nc net.Conn) (net.Conn, error) {
				c, err := starttls.Server(context.Background(), nc, p, sc)
				if err == nil && settles {
					w := c.Wire(context.Background())
					go p.(starttls.Host).Serve(w, starttls.Hello{}, nil)
				}
				return c, err
			})
	}
}

func (f connect) once(t testing.TB) {
	c, s, err := f()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Close()
}

func BenchmarkBareTLS(b *testing.B) {
	bed := newBed(b)
	b.ReportAllocs()
	for b.Loop() {
		connect(bed.bare).once(b)
	}
}

func BenchmarkUpgrade(b *testing.B) {
	for _, p := range protocol.All() {
		b.Run(p.Info().Name, func(b *testing.B) {
			f := newBed(b).upgrade(p)
			b.ReportAllocs()
			for b.Loop() {
				f.once(b)
			}
		})
	}
}

// cost is what n connections took: CPU time of the process, and allocations.
func cost(t testing.TB, n int, f connect) (cpu time.Duration, allocs float64) {
	var m0, m1 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m0)
	start := used(t)
	for range n {
		f.once(t)
	}
	cpu = used(t) - start
	runtime.ReadMemStats(&m1)
	return cpu, float64(m1.Mallocs-m0.Mallocs) / float64(n)
}

func used(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestTable prints, for each protocol, CPU and allocations of an upgrade beside
// those of a bare handshake: batches in turn, the median of the ratios.
func TestTable(t *testing.T) {
	if !*table {
		t.Skip("go test ./bench -table measures; it asserts nothing")
	}
	b := newBed(t)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "protocol\tCPU of both ends\tbare\tratio (min to max)\tallocations more\tidle bytes\tbare\t")
	bareIdle := idle(t, b.bare)
	for _, p := range protocol.All() {
		f := b.upgrade(p)
		f.once(t)
		var ratios, ours, bares []float64
		var more float64
		for range *rounds {
			bareCPU, bareAllocs := cost(t, *batch, b.bare)
			cpu, allocs := cost(t, *batch, f)
			ratios = append(ratios, float64(cpu)/float64(bareCPU))
			ours, bares = append(ours, micro(cpu)), append(bares, micro(bareCPU))
			more = allocs - bareAllocs
		}
		slices.Sort(ratios)
		fmt.Fprintf(w, "%s\t%.0f us\t%.0f us\t%.3f (%.3f to %.3f)\t%.0f\t%d\t%d\t\n", p.Info().Name, median(ours), median(bares), median(ratios), ratios[0], ratios[len(ratios)-1], more, idle(t, f), bareIdle)
	}
	w.Flush()
}

func micro(d time.Duration) float64 { return float64(d.Microseconds()) / float64(*batch) }

func median(s []float64) float64 {
	s = slices.Sorted(slices.Values(s))
	return s[len(s)/2]
}

// idle is how many bytes of heap one idle connection holds, both its ends
// together.
func idle(t testing.TB, f connect) int64 {
	const n = 300
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	var held []net.Conn
	for range n {
		c, s, err := f()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c, s)
	}
	bytes := (heap() - before) / n
	for _, c := range held {
		c.Close()
	}
	return bytes
}
