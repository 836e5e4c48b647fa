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
	table  = flag.Bool("table", false, "measure all protocols beside bare TLS and print a table")
	only   = flag.String("only", "", "this protocol alone")
	rounds = flag.Int("rounds", 40, "rounds for each protocol, a batch of each kind in every one")
	batch  = flag.Int("batch", 25, "connections in a batch")
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

// said is one message of an upgrade.
type said struct {
	from starttls.Side
	tls  bool
	data []byte
}

// spoken is all that is said in an upgrade of p but the handshake, what comes
// from one side at a stretch as one message.
func (b *bed) spoken(t testing.TB, p starttls.Protocol) (all []said) {
	t.Helper()
	c, s, err := b.upgrade(p)()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.(*starttls.Conn).Transcript() {
		if n := len(all); n > 0 && all[n-1].from == e.From && all[n-1].tls == e.TLS {
			all[n-1].data = append(all[n-1].data, e.Data...)
		} else {
			all = append(all, said{e.From, e.TLS, slices.Clone(e.Data)})
		}
	}
	c.Close()
	s.Close()
	return all
}

// dialogue is crypto/tls alone behind the same bytes in clear: what an upgrade
// costs whose halves understand nothing.
func (b *bed) dialogue(all []said) connect {
	part := func(nc net.Conn, side starttls.Side, tls bool) error {
		buf := make([]byte, 4096) // and not one byte is read too many: an eager client's TLS follows at once
		for _, m := range all {
			if m.tls != tls {
				continue
			}
			if m.from == side {
				if _, err := nc.Write(m.data); err != nil {
					return err
				}
				continue
			}
			for n := len(m.data); n > 0; {
				k, err := nc.Read(buf[:min(n, len(buf))])
				if n -= k; err != nil {
					return err
				}
			}
		}
		return nil
	}
	end := func(side starttls.Side, layer func(net.Conn) *tls.Conn) func(net.Conn) (net.Conn, error) {
		return func(nc net.Conn) (net.Conn, error) {
			if err := part(nc, side, false); err != nil {
				return nc, err
			}
			c := layer(nc)
			if err := c.Handshake(); err != nil {
				return c, err
			}
			return c, part(c, side, true)
		}
	}
	return func() (net.Conn, net.Conn, error) {
		return b.ends(
			end(starttls.ClientSide, func(nc net.Conn) *tls.Conn { return tls.Client(nc, b.client) }),
			end(starttls.ServerSide, func(nc net.Conn) *tls.Conn { return tls.Server(nc, b.server) }))
	}
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

// cost is what a batch of connections took: CPU time of the process, and
// allocations.
func cost(t testing.TB, f connect) (cpu time.Duration, allocs float64) {
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	start := used(t)
	for range *batch {
		f.once(t)
	}
	cpu = used(t) - start
	runtime.ReadMemStats(&m1)
	return cpu, float64(m1.Mallocs-m0.Mallocs) / float64(*batch)
}

func used(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestTable prints, for each protocol, CPU and allocations of an upgrade beside
// those of a bare handshake, and of a bare handshake behind the same bytes in
// clear. Small batches of the three kinds take turns, each kind first as often as
// the others; the ratios are made within a round.
func TestTable(t *testing.T) {
	if !*table {
		t.Skip("go test ./bench -table measures; it asserts nothing")
	}
	b := newBed(t)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "protocol\tupgrade\tdialogue\tbare\tto bare (quartiles)\tdialogue to bare\tto dialogue (quartiles)\tallocations more\tidle bytes\tbare\t")
	bareIdle := idle(t, b.bare)
	for _, p := range protocol.All() {
		if *only != "" && p.Info().Name != *only {
			continue
		}
		kinds := []connect{b.upgrade(p), b.dialogue(b.spoken(t, p)), b.bare}
		var cpu [3][]float64
		var allocs [3]float64
		for r := range *rounds {
			for k := range kinds {
				k = (k + r) % len(kinds)
				d, n := cost(t, kinds[k])
				cpu[k], allocs[k] = append(cpu[k], micro(d)), n
			}
		}
		upgrade, dialogue, bare := cpu[0], cpu[1], cpu[2]
		_, middle, _ := quartiles(divide(dialogue, bare))
		fmt.Fprintf(w, "%s\t%.0f us\t%.0f us\t%.0f us\t%s\t%.3f\t%s\t%.0f\t%d\t%d\t\n", p.Info().Name, median(upgrade), median(dialogue), median(bare),
			spread(divide(upgrade, bare)), middle, spread(divide(upgrade, dialogue)), allocs[0]-allocs[2], idle(t, kinds[0]), bareIdle)
	}
	w.Flush()
}

func divide(a, b []float64) (ratios []float64) {
	for i := range a {
		ratios = append(ratios, a[i]/b[i])
	}
	return ratios
}

func spread(ratios []float64) string {
	low, middle, high := quartiles(ratios)
	return fmt.Sprintf("%.3f (%.3f to %.3f)", middle, low, high)
}

func quartiles(s []float64) (low, middle, high float64) {
	s = slices.Sorted(slices.Values(s))
	return s[len(s)/4], s[len(s)/2], s[len(s)*3/4]
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(*batch) }

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
