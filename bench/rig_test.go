package bench

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"example.org/starttls/internal/testca"
)

// rig is what all gateways are measured with.
type rig struct {
	dir              string
	root             *x509.CertPool
	binary           string
	clear, tls, auth string // addresses: see serveEnds
}

// peer is a gateway under measurement, pinned to a core of its own.
type peer struct {
	name, addr string
	cmd        *exec.Cmd
	curve      tls.CurveID
	direct     bool // TLS from the first byte
	mail       bool // it connects to its backend at RCPT
	below      bool // what is measured goes on below TLS
	bare       bool // there is no TLS
	cache      tls.ClientSessionCache
	resumed    atomic.Int64
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
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}, ca.Certificate, key.Public(), self.PrivateKey)
	ok(t, err)
	r.write(t, "rsa", tls.Certificate{Certificate: [][]byte{der, ca.Certificate.Raw}, PrivateKey: key})
	r.binary = filepath.Join(r.dir, "starttls")
	build := exec.Command("go", "build", "-o", r.binary, "../cmd/starttls")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make install does
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.startEnds(t)
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
	ok(t, os.WriteFile(r.file(kind+".crt"), b.Bytes(), 0o644))
	ok(t, os.WriteFile(r.file(kind+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o644))
}

func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) startEnds(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), endsEnv+"=ends\n"+r.file("ecdsa.crt")+"\n"+r.file("ecdsa.key"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	ok(t, err)
	stdout, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	_, err = fmt.Fscan(stdout, &r.clear, &r.tls, &r.auth)
	ok(t, err)
}

// start runs those of the named gateways that are installed, with the certificate
// of that kind.
func (r *rig) start(t *testing.T, kind string, names ...string) (peers []*peer) {
	t.Helper()
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ok(t, err)
		p := &peer{name: name, addr: l.Addr().String(), curve: tls.X25519, direct: name == oursPlain || name == ghost, mail: name == nginxMail, below: name == guard || name == bare, bare: name == bare}
		l.Close()
		if name == oursPQ {
			p.curve = tls.X25519MLKEM768
		}
		args, env := r.command(t, p, kind)
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Logf("%s is not installed", name)
			continue
		}
		p.cmd = exec.Command("taskset", append([]string{"-c", "0"}, args...)...)
		p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", env)
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		ok(t, p.cmd.Start())
		t.Cleanup(p.stop)
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if nc, err := net.Dial("tcp", p.addr); err == nil {
				nc.Close()
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		peers = append(peers, p)
	}
	return peers
}

// command is how a gateway is started, and what its environment needs.
func (r *rig) command(t *testing.T, p *peer, kind string) (args []string, env string) {
	t.Helper()
	cert, key := r.file(kind+".crt"), r.file(kind+".key")
	config := func(format string, args ...any) string {
		file := r.file("config" + p.addr[strings.LastIndexByte(p.addr, ':')+1:])
		ok(t, os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o644))
		return file
	}
	const limits = "limits.connections_per_ip=1000000\nlimits.connections=1000000\nlimits.handshakes=1000000\n"
	const nginxConfig = "load_module /usr/lib/nginx/modules/ngx_mail_module.so;\ndaemon off; master_process off; error_log stderr crit; pid %[1]s/nginx.pid;\nevents { worker_connections 30000; }\n" +
		"mail { server_name bench; auth_http %[5]s/; xclient off; proxy_timeout 600s; server { listen %[2]s; protocol smtp; smtp_auth none; starttls only; ssl_certificate %[3]s; ssl_certificate_key %[4]s; ssl_ecdh_curve X25519; ssl_protocols TLSv1.2 TLSv1.3; timeout 600s; } }\n"
	switch p.name {
	case stunnel:
		return []string{"stunnel4", config("foreground=yes\ndebug=3\nsocket=l:TCP_NODELAY=1\nsocket=r:TCP_NODELAY=1\npid=\n[s]\naccept=%s\nconnect=%s\ncert=%s\nkey=%s\ncurves=X25519:P-256\nprotocol=smtp\n", p.addr, r.clear, cert, key)}, ""
	case nginx, nginxMail:
		return []string{"/usr/sbin/nginx", "-c", config(nginxConfig, r.dir, p.addr, cert, key, r.auth), "-e", "stderr"}, ""
	case ghost:
		return []string{"ghostunnel", "server", "--listen", p.addr, "--target", r.clear, "--cert", cert, "--key", key, "--disable-authentication", "--quiet", "all"}, ""
	case bare:
		return []string{os.Args[0]}, endsEnv + "=splice\n" + p.addr + "\n" + r.clear
	case guard:
		return r.ours(config("[[listener]]\nlisten=[%q]\nmode=\"guard\"\nprotocol=\"smtp\"\nbackend.address=%q\n"+limits, p.addr, r.tls))
	}
	accept := "starttls"
	if p.direct {
		accept = "implicit"
	}
	return r.ours(config("[[certificate]]\ncert=%q\nkey=%q\n[[listener]]\nlisten=[%q]\nprotocol=\"smtp\"\naccept=%q\nbackend.address=%q\n"+limits, cert, key, p.addr, accept, r.clear))
}

func (r *rig) ours(config string) (args []string, env string) {
	return []string{r.binary, "gateway", "-c", config, "--log-level", "error"}, ""
}

func (p *peer) stop() {
	if p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

// cpu is what the process has used, in seconds: its CPU-time clock, which has the
// threads that have ended too.
func (p *peer) cpu(t *testing.T) float64 {
	t.Helper()
	var spec syscall.Timespec
	clock := uintptr(^uint32(p.cmd.Process.Pid))<<3 | 2 // clock_getcpuclockid(3)
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(int32(clock)), uintptr(unsafe.Pointer(&spec)), 0); err != 0 {
		t.Fatal(err)
	}
	return float64(spec.Nano()) / 1e9
}

// status is a number of /proc/PID/status.
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
