package bench

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"example.org/starttls/internal/testca"
)

var (
	gateways = flag.Bool("gateways", false, "measure the gateway beside stunnel and nginx; run it with taskset -c 1")
	span     = flag.Duration("span", 3*time.Second, "of one measurement of sessions")
	idlers   = flag.Int("idlers", 2000, "idle sessions whose memory is measured")
	bulk     = flag.Int("bulk", 400, "megabytes in one direction")
)

// rig is what all gateways are measured with: a backend that speaks as much SMTP
// as it must, and clients.
type rig struct {
	dir, backend string
	root         *x509.CertPool
	binary       string
}

// peer is a gateway under measurement, pinned to a core of its own.
type peer struct {
	name  string
	addr  string
	cmd   *exec.Cmd
	curve tls.CurveID
}

// TestGateways prints a table; it asserts nothing.
func TestGateways(t *testing.T) {
	if !*gateways {
		t.Skip("-gateways is not given")
	}
	r := newRig(t)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "what\tgateway\tmedian\tof all rounds")
	row := func(what, name, unit string, values []float64) {
		slices.Sort(values)
		fmt.Fprintf(w, "%s\t%s\t%.1f %s\t%.1f\n", what, name, values[len(values)/2], unit, values)
	}
	for _, key := range []string{"ecdsa", "rsa"} {
		peers := r.start(t, key)
		cpu := map[string][]float64{}
		for range *rounds {
			for _, p := range peers {
				cpu[p.name] = append(cpu[p.name], r.sessions(t, p))
			}
		}
		for _, p := range peers {
			row("CPU of a session, "+key, p.name, "us", cpu[p.name])
		}
		if key == "ecdsa" {
			for _, p := range peers {
				row("time to a session, idle gateway", p.name, "ms", r.latency(t, p))
			}
			for _, p := range peers {
				if strings.HasPrefix(p.name, "nginx") {
					continue // hands over to the backend only with a message
				}
				up, down := r.bulk(t, p)
				row("CPU of bulk, up", p.name, "ms/MB", up)
				row("CPU of bulk, down", p.name, "ms/MB", down)
			}
		}
		for _, p := range peers {
			p.stop()
		}
	}
	for _, p := range r.start(t, "ecdsa") {
		if !strings.Contains(p.name, "MLKEM") {
			r.memory(t, p, func(what string, v float64, unit string) { row(what, p.name, unit, []float64{v}) })
		}
		p.stop()
	}
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir()}
	ca, err := testca.New("bench root")
	ok(t, err)
	r.root = ca.Pool()
	leaf, err := ca.Issue(nil, name)
	ok(t, err)
	r.write(t, "ecdsa", leaf)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	ok(t, err)
	self := ca.Self()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, ca.Certificate, key.Public(), self.PrivateKey)
	ok(t, err)
	r.write(t, "rsa", tls.Certificate{Certificate: [][]byte{der, ca.Certificate.Raw}, PrivateKey: key})
	r.binary = filepath.Join(r.dir, "starttls")
	out, err := exec.Command("go", "build", "-o", r.binary, "../cmd/starttls").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { l.Close() })
	r.backend = l.Addr().String()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go serveBench(nc)
		}
	}()
	return r
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) write(t *testing.T, kind string, c tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	ok(t, err)
	var b bytes.Buffer
	for _, der := range c.Certificate {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	ok(t, os.WriteFile(filepath.Join(r.dir, kind+".crt"), b.Bytes(), 0o644))
	ok(t, os.WriteFile(filepath.Join(r.dir, kind+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o644))
}

// serveBench answers EHLO and NOOP; DATA n takes a message of n bytes, SOURCE n sends them.
func serveBench(nc net.Conn) {
	defer nc.Close()
	io.WriteString(nc, "220 bench ESMTP\r\n")
	in := bufio.NewReaderSize(nc, 64<<10)
	block := bytes.Repeat([]byte("x"), 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.Atoi(arg)
		switch verb {
		case "EHLO":
			io.WriteString(nc, "250-bench\r\n250 PIPELINING\r\n")
		case "DATA": // of n bytes, as the clients here send it
			io.WriteString(nc, "354 go\r\n")
			io.CopyN(io.Discard, in, int64(n)+5)
			io.WriteString(nc, "250 taken\r\n")
		case "SOURCE":
			for left := n; left > 0; left -= len(block) {
				if _, err := nc.Write(block[:min(left, len(block))]); err != nil {
					return
				}
			}
			io.WriteString(nc, "\r\n250 sent\r\n")
		default:
			io.WriteString(nc, "250 ok\r\n")
		}
	}
}

// start runs all gateways that are installed, with the certificate of that kind.
func (r *rig) start(t *testing.T, kind string) (peers []*peer) {
	t.Helper()
	cert, key := filepath.Join(r.dir, kind+".crt"), filepath.Join(r.dir, kind+".key")
	add := func(name string, curve tls.CurveID, argv func(addr string) []string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ok(t, err)
		p := &peer{name: name, addr: l.Addr().String(), curve: curve}
		l.Close()
		args := argv(p.addr)
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Logf("%s is not installed", name)
			return
		}
		p.cmd = exec.Command("taskset", append([]string{"-c", "0"}, args...)...)
		p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		ok(t, p.cmd.Start())
		t.Cleanup(p.stop)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if nc, err := net.Dial("tcp", p.addr); err == nil {
				nc.Close()
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		peers = append(peers, p)
	}
	config := filepath.Join(r.dir, kind+".toml")
	ours := func(addr string) []string {
		text := fmt.Sprintf("[[certificate]]\ncert=%q\nkey=%q\n[[listener]]\nlisten=[%q]\nprotocol=\"smtp\"\nbackend.address=%q\nlimits.connections_per_ip=1000000\nlimits.connections=1000000\nlimits.handshakes=1000000\n", cert, key, addr, r.backend)
		ok(t, os.WriteFile(config+addr[len(addr)-5:], []byte(text), 0o644))
		return []string{r.binary, "gateway", "-c", config + addr[len(addr)-5:], "--log-level", "error"}
	}
	add("starttls, X25519", tls.X25519, ours)
	add("starttls, X25519MLKEM768", tls.X25519MLKEM768, ours)
	add("stunnel, X25519", tls.X25519, func(addr string) []string {
		text := fmt.Sprintf("foreground=yes\ndebug=3\nsocket=l:TCP_NODELAY=1\nsocket=r:TCP_NODELAY=1\npid=\n[s]\naccept=%s\nconnect=%s\ncert=%s\nkey=%s\ncurves=X25519:P-256\nprotocol=smtp\n", addr, r.backend, cert, key)
		file := filepath.Join(r.dir, kind+".stunnel")
		ok(t, os.WriteFile(file, []byte(text), 0o644))
		return []string{"stunnel4", file}
	})
	add("nginx mail, X25519, no backend", tls.X25519, func(addr string) []string {
		text := fmt.Sprintf("load_module /usr/lib/nginx/modules/ngx_mail_module.so;\ndaemon off; master_process off; error_log stderr crit; pid %[1]s/nginx.pid;\nevents { worker_connections 30000; }\nmail { server_name bench; auth_http 127.0.0.1:9/; server { listen %[2]s; protocol smtp; smtp_auth none; starttls only; ssl_certificate %[3]s; ssl_certificate_key %[4]s; ssl_ecdh_curve X25519; ssl_protocols TLSv1.2 TLSv1.3; timeout 600s; } }\n", r.dir, addr, cert, key)
		file := filepath.Join(r.dir, kind+".nginx")
		ok(t, os.WriteFile(file, []byte(text), 0o644))
		return []string{"/usr/sbin/nginx", "-c", file, "-e", "stderr"}
	})
	return peers
}

func (p *peer) stop() {
	if p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

// cpu is what the process has used, in seconds.
func (p *peer) cpu(t *testing.T) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	ok(t, err)
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100 // USER_HZ
}

func (p *peer) status(t *testing.T, field string) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	ok(t, err)
	for line := range strings.Lines(string(b)) {
		if name, rest, found := strings.Cut(line, ":"); found && name == field {
			n, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return n
		}
	}
	t.Fatalf("no %s", field)
	return 0
}

// session comes to TLS as a mail server does, and makes sure of it by a command.
func (r *rig) session(p *peer) (*tls.Conn, error) {
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	for _, say := range []string{"", "EHLO bench\r\n", "STARTTLS\r\n"} {
		if _, err := io.WriteString(nc, say); err != nil {
			return nil, err
		}
		for n := 0; ; {
			k, err := nc.Read(buf[n:])
			if err != nil {
				nc.Close()
				return nil, err
			}
			n += k
			text := string(buf[:n])
			last := text[strings.LastIndexByte(strings.TrimSuffix(text, "\r\n"), '\n')+1:]
			if strings.HasSuffix(text, "\n") && len(last) > 3 && last[3] == ' ' {
				break
			}
		}
	}
	tc := tls.Client(nc, &tls.Config{ServerName: name, RootCAs: r.root, CurvePreferences: []tls.CurveID{p.curve}})
	if err := tc.Handshake(); err != nil {
		nc.Close()
		return nil, err
	}
	if _, err := io.WriteString(tc, "NOOP\r\n"); err != nil {
		return nil, err
	}
	_, err = tc.Read(buf)
	return tc, err
}

func drop(tc *tls.Conn) {
	tc.NetConn().(*net.TCPConn).SetLinger(0)
	tc.NetConn().Close()
}

// sessions measures the gateway's CPU time for one, in microseconds.
func (r *rig) sessions(t *testing.T, p *peer) float64 {
	t.Helper()
	const clients = 16
	before := p.cpu(t)
	end := time.Now().Add(*span)
	counts := make(chan int, clients)
	for range clients {
		go func() {
			n := 0
			for ; time.Now().Before(end); n++ {
				tc, err := r.session(p)
				if err != nil {
					t.Errorf("%s: %v", p.name, err)
					break
				}
				drop(tc)
			}
			counts <- n
		}()
	}
	n := 0
	for range clients {
		n += <-counts
	}
	return (p.cpu(t) - before) / float64(n) * 1e6
}

// latency is how long one client waits for its session, in milliseconds.
func (r *rig) latency(t *testing.T, p *peer) (out []float64) {
	t.Helper()
	for range 31 {
		start := time.Now()
		tc, err := r.session(p)
		ok(t, err)
		out = append(out, float64(time.Since(start).Microseconds())/1000)
		drop(tc)
	}
	slices.Sort(out)
	return out[len(out)/2 : len(out)/2+1]
}

// bulk measures CPU time for a megabyte, in milliseconds.
func (r *rig) bulk(t *testing.T, p *peer) (up, down []float64) {
	t.Helper()
	block := bytes.Repeat([]byte("x"), 64<<10)
	n := *bulk << 20
	for range min(*rounds, 3) {
		tc, err := r.session(p)
		ok(t, err)
		tc.SetDeadline(time.Now().Add(5 * time.Minute))
		before := p.cpu(t)
		in := bufio.NewReader(tc)
		fmt.Fprintf(tc, "DATA %d\r\n", n)
		_, err = in.ReadString('\n')
		ok(t, err)
		for left := n; left > 0; left -= len(block) {
			_, err := tc.Write(block)
			ok(t, err)
		}
		io.WriteString(tc, "\r\n.\r\n")
		for line := ""; !strings.HasPrefix(line, "250 "); {
			line, err = in.ReadString('\n')
			ok(t, err)
		}
		middle := p.cpu(t)
		fmt.Fprintf(tc, "SOURCE %d\r\n", n)
		_, err = io.CopyN(io.Discard, in, int64(n))
		ok(t, err)
		after := p.cpu(t)
		up, down = append(up, (middle-before)/float64(*bulk)*1000), append(down, (after-middle)/float64(*bulk)*1000)
		drop(tc)
	}
	return up, down
}

// memory measures what an idle session holds, in kilobytes of resident memory.
func (r *rig) memory(t *testing.T, p *peer, row func(what string, v float64, unit string)) {
	t.Helper()
	warm, err := r.session(p)
	ok(t, err)
	drop(warm)
	before := p.status(t, "VmRSS")
	conns := make([]*tls.Conn, *idlers)
	slots := make(chan struct{}, 50)
	done := make(chan error, *idlers)
	for i := range conns {
		slots <- struct{}{}
		go func() {
			var err error
			conns[i], err = r.session(p)
			<-slots
			done <- err
		}()
	}
	for range conns {
		ok(t, <-done)
	}
	per := func() float64 { return (p.status(t, "VmRSS") - before) / float64(*idlers) }
	time.Sleep(time.Second)
	row(fmt.Sprintf("memory, %d idle sessions", *idlers), per(), "kB")
	row("threads", p.status(t, "Threads"), "")
	if !strings.HasPrefix(p.name, "nginx") {
		for _, tc := range conns {
			tc.SetDeadline(time.Now().Add(time.Minute))
			in := bufio.NewReaderSize(tc, 4096)
			fmt.Fprintf(tc, "DATA %d\r\n", 100_000)
			_, err := in.ReadString('\n')
			ok(t, err)
			tc.Write(append(bytes.Repeat([]byte("x"), 100_000), "\r\n.\r\n"...))
			fmt.Fprintf(tc, "SOURCE %d\r\n", 100_000)
			for line := ""; line != "250 sent\r\n"; {
				var err error
				line, err = in.ReadString('\n')
				ok(t, err)
			}
		}
		time.Sleep(time.Second)
		row("memory, after 100 kB each way", per(), "kB")
	}
	for _, tc := range conns {
		drop(tc)
	}
}
