package gateway

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// readByProcess is how many bytes this process has read by read(2) and its kin,
// which splice(2) is none of.
func readByProcess(t testing.TB) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("no /proc/self/io")
	}
	line, _, _ := strings.Cut(string(b), "\n")
	n, err := strconv.ParseInt(strings.TrimPrefix(line, "rchar: "), 10, 64)
	must(t, err)
	return n
}

// guardedPair is a connection through a guard behind the switch, and its other
// end, both below TLS.
func guardedPair(t testing.TB, idle time.Duration) (near, far net.Conn, log *syncBuffer) {
	t.Helper()
	ca := newPKI(t)
	ends := make(chan net.Conn, 1)
	release := make(chan struct{})
	b := serveBackend(t, func(nc net.Conn) {
		if c, err := starttls.Server(t.Context(), nc, protocol.IMAP, &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}); err == nil {
			ends <- c.NetConn().(*recorded).Conn
			<-release
		}
	})
	t.Cleanup(func() { close(release) }) // before the backend waits for it
	log = &syncBuffer{}
	_, addr := start(t, Listener{Mode: "guard", Protocol: "imap", Backend: Backend{Address: b.addr}, Limits: Limits{Idle: idle}}, jsonLog(log))
	c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, ca.client())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c.NetConn(), <-ends, log
}

// Behind the switch no byte comes up into the program: it reads what the two
// ends read, and not again what passes between them.
func TestGuardSplices(t *testing.T) {
	near, far, _ := guardedPair(t, time.Minute)
	const size = 32 << 20
	before := readByProcess(t)
	for _, way := range []struct{ from, to net.Conn }{{near, far}, {far, near}} {
		var writing sync.WaitGroup
		writing.Go(func() { way.from.Write(bytes.Repeat([]byte{7}, size)) })
		if _, err := io.CopyN(io.Discard, way.to, size); err != nil {
			t.Fatal(err)
		}
		writing.Wait()
	}
	if read := readByProcess(t) - before; read > 2*size+size/4 {
		t.Errorf("%d bytes were read for %d that passed", read, 2*size)
	}
}

// Half closes are passed on, and a session without a byte ends.
func TestGuardEnds(t *testing.T) {
	near, far, log := guardedPair(t, 0)
	must(t, near.(*net.TCPConn).CloseWrite())
	far.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, far); err != nil { // what TLS left, and the end
		t.Fatal(err)
	}
	_, err := far.Write([]byte("still there"))
	must(t, err)
	must(t, far.(*net.TCPConn).CloseWrite())
	near.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(near); err != nil || !strings.HasSuffix(string(got), "still there") {
		t.Errorf("%q, %v", got, err)
	}
	tells(t, log, `"outcome":"ok"`)
	_, _, log = guardedPair(t, time.Second)
	tells(t, log, `"outcome":"idle"`)
}

func BenchmarkGuard(b *testing.B) {
	near, far, _ := guardedPair(b, time.Minute)
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	var writing sync.WaitGroup
	defer writing.Wait()
	n := b.N
	writing.Go(func() {
		for range n {
			if _, err := near.Write(chunk); err != nil {
				return
			}
		}
	})
	b.ResetTimer()
	_, err := io.CopyN(io.Discard, far, int64(n)<<20)
	must(b, err)
}

// What a server says early is seen whether its socket can be asked or, as on
// systems that are no Unix, not; and nothing of it is taken.
func TestWaiting(t *testing.T) {
	for _, asked := range []bool{true, false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		near, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		defer near.Close()
		far, err := l.Accept()
		must(t, err)
		defer far.Close()
		c := newConn(near)
		if !asked {
			c.raw = nil
		}
		until := time.Now().Add(10 * time.Second)
		if b := c.waiting(until); len(b) > 0 {
			t.Errorf("%q is there, and nothing was said", b)
		}
		far.Write([]byte("early"))
		waitFor(t, func() bool { return string(c.waiting(until)) == "early" })
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "early" {
			t.Errorf("%q, %v", got, err)
		}
	}
}
