package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// session is a client's: TLS as a mail server comes to it, and a command that
// makes sure of the backend. The connection is the one whose bytes are measured.
func (r *rig) session(p *peer) (net.Conn, error) {
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(5 * time.Minute))
	c, err := r.upgrade(p, nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

func (r *rig) upgrade(p *peer, nc net.Conn) (net.Conn, error) {
	if !p.direct {
		if err := talk(nc, "", "EHLO bench\r\n"); err != nil || p.bare {
			return nc, err
		}
		if err := talk(nc, "STARTTLS\r\n"); err != nil {
			return nil, err
		}
	}
	tc := tls.Client(nc, &tls.Config{ServerName: name, RootCAs: r.root, CurvePreferences: []tls.CurveID{p.curve}, ClientSessionCache: p.cache})
	if err := tc.Handshake(); err != nil {
		return nil, err
	}
	if tc.ConnectionState().DidResume {
		p.resumed.Add(1)
	}
	if p.direct {
		if err := talk(tc, ""); err != nil {
			return nil, err
		}
	}
	if p.mail {
		if err := talk(tc, "EHLO bench\r\n", "MAIL FROM:<a@bench>\r\n", "RCPT TO:<b@bench>\r\n"); err != nil {
			return nil, err
		}
	}
	if err := talk(tc, "NOOP\r\n"); err != nil || !p.below {
		return tc, err
	}
	return nc, nil
}

// talk says each line, and waits for the last line of its answer.
func talk(c net.Conn, lines ...string) error {
	buf := make([]byte, 1024)
	for _, say := range lines {
		if _, err := io.WriteString(c, say); err != nil {
			return err
		}
		for n := 0; ; {
			k, err := c.Read(buf[n:])
			if err != nil {
				return err
			}
			n += k
			text := string(buf[:n])
			last := text[strings.LastIndexByte(strings.TrimSuffix(text, "\r\n"), '\n')+1:]
			if strings.HasSuffix(text, "\n") && len(last) > 3 && last[3] == ' ' {
				if last[0] > '3' {
					return fmt.Errorf("%q is answered by %q", say, last)
				}
				break
			}
		}
	}
	return nil
}

func drop(c net.Conn) {
	if tc, ok := c.(*tls.Conn); ok {
		c = tc.NetConn()
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// atOnce is how many clients come at once. stunnel lets each wait a fifth of a
// second, so that fewer would measure little.
const atOnce = 64

// sessions measures the gateway's CPU time for one, in microseconds.
func (r *rig) sessions(t *testing.T, p *peer, n int) float64 {
	t.Helper()
	before := p.cpu(t)
	for _, c := range r.open(t, p, n, true) {
		drop(c)
	}
	return (p.cpu(t) - before) / float64(n) * 1e6
}

// open comes to n sessions; drops says to end each at once.
func (r *rig) open(t *testing.T, p *peer, n int, drops bool) (all []net.Conn) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	todo := make(chan struct{}, n)
	for range n {
		todo <- struct{}{}
	}
	close(todo)
	for range atOnce {
		clients.Go(func() {
			for range todo {
				c, err := r.session(p)
				if err != nil {
					t.Errorf("%s: %v", p.name, err)
					return
				}
				if drops {
					drop(c)
					continue
				}
				mu.Lock()
				all = append(all, c)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return all
}

// latency is how long one client waits for its session: the median of a few, in
// milliseconds.
func (r *rig) latency(t *testing.T, p *peer) float64 {
	t.Helper()
	var all []float64
	for range 11 {
		start := time.Now()
		c, err := r.session(p)
		ok(t, err)
		all = append(all, float64(time.Since(start).Microseconds())/1000)
		drop(c)
	}
	return median(all)
}

// bulk measures CPU time for a megabyte, in milliseconds, and the speed.
func (r *rig) bulk(t *testing.T, p *peer) (up, down, speed float64) {
	t.Helper()
	c, err := r.session(p)
	ok(t, err)
	defer drop(c)
	start, before := time.Now(), p.cpu(t)
	ok(t, upload(c, *megs<<20))
	middle := p.cpu(t)
	ok(t, download(c, *megs<<20))
	after := p.cpu(t)
	return (middle - before) / float64(*megs) * 1000, (after - middle) / float64(*megs) * 1000, 2 * float64(*megs) / time.Since(start).Seconds()
}

func upload(c net.Conn, n int) error {
	if err := talk(c, fmt.Sprintf("DATA %d\r\n", n)); err != nil {
		return err
	}
	block := bytes.Repeat([]byte("x"), 64<<10)
	for left := n; left > 0; left -= len(block) {
		if _, err := c.Write(block[:min(left, len(block))]); err != nil {
			return err
		}
	}
	return talk(c, "\r\n.\r\n")
}

func download(c net.Conn, n int) error {
	if _, err := fmt.Fprintf(c, "SOURCE %d\r\n", n); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(c, int64(n)+2), make([]byte, 64<<10)); err != nil {
		return err
	}
	_, err := bufio.NewReaderSize(c, 64).ReadString('\n')
	return err
}

// memory measures what an idle session holds, in kilobytes of resident memory,
// client's and backend's side together.
func (r *rig) memory(t *testing.T, p *peer, out *results) {
	t.Helper()
	r.sessions(t, p, 1)
	before, n := p.status(t, "VmRSS"), *idlers
	if p.name == stunnel {
		n = min(n, 8000) // it takes no more with 20000 files
	}
	conns := r.open(t, p, n, false)
	if len(conns) < n {
		t.Errorf("%s: %d sessions of %d", p.name, len(conns), n)
		return
	}
	threads := p.status(t, "Threads")
	per := func() float64 { return (p.status(t, "VmRSS") - before) / float64(n) }
	time.Sleep(time.Second)
	out.add(fmt.Sprintf("memory, %d idle sessions", n), p.name, "kB", per())
	for batch := range slices.Chunk(conns, atOnce) {
		var busy sync.WaitGroup
		for _, c := range batch {
			busy.Go(func() {
				c.SetDeadline(time.Now().Add(time.Minute))
				if err := upload(c, 100_000); err != nil {
					t.Errorf("%s: %v", p.name, err)
				} else if err := download(c, 100_000); err != nil {
					t.Errorf("%s: %v", p.name, err)
				}
			})
		}
		busy.Wait()
		if t.Failed() {
			break
		}
	}
	time.Sleep(time.Second)
	out.add("memory, after 100 kB each way", p.name, "kB", per())
	out.add("threads", p.name, "", max(threads, p.status(t, "Threads")))
	for _, c := range conns {
		drop(c)
	}
}
