package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// configEnv makes the test's binary a gateway, with the configuration in that
// file: what signals do is seen from outside only.
const configEnv = "STARTTLS_TEST_GATEWAY"

func TestMain(m *testing.M) {
	file := os.Getenv(configEnv)
	if file == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := Load(file)
	if err == nil {
		var g *Gateway
		if g, err = New(cfg, slog.New(slog.NewJSONHandler(os.Stderr, nil))); err == nil {
			err = g.Run(ctx, func() (Config, error) { return Load(file) })
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// process is a gateway that runs by itself.
type process struct {
	cmd    *exec.Cmd
	config string
	socket string
	log    string
}

func startProcess(t *testing.T, ca *pki, backend string, command []string, env ...string) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{config: filepath.Join(dir, "c.toml"), socket: filepath.Join(dir, "s"), log: filepath.Join(dir, "log")}
	p.write(t, ca, backend, p.socket)
	log, err := os.Create(p.log)
	must(t, err)
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env = append(append(os.Environ(), configEnv+"="+p.config, "GORACE=atexit_sleep_ms=0"), env...)
	p.cmd.Stderr = log
	t.Cleanup(func() {
		log.Close()
		if b, _ := os.ReadFile(p.log); t.Failed() {
			t.Logf("the process said:\n%s", b)
		}
	})
	return p
}

func (p *process) write(t *testing.T, ca *pki, backend, listen string) {
	t.Helper()
	text := fmt.Sprintf("drain = \"10s\"\n[[certificate]]\ncert = %q\nkey = %q\n[[listener]]\nlisten = [%q]\nprotocol = \"imap\"\nbackend.address = %q\n", ca.cert, ca.key, listen, backend)
	must(t, os.WriteFile(p.config, []byte(text), 0o600))
}

// said are the log's lines with that message.
func (p *process) said(msg string) (out []map[string]any) {
	b, _ := os.ReadFile(p.log)
	for line := range strings.Lines(string(b)) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == msg {
			out = append(out, m)
		}
	}
	return out
}

// A restart hands the sockets over: no connection is refused, and sessions of
// the old process go on.
func TestRestartWithoutARefusal(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None})
	p := startProcess(t, ca, b.addr, []string{os.Args[0]})
	must(t, p.cmd.Start())
	t.Cleanup(func() { p.cmd.Process.Kill() })
	waitFor(t, func() bool { return len(p.said("ready")) == 1 })
	session := func() (*starttls.Conn, error) {
		c, err := starttls.Dial(t.Context(), p.socket, protocol.IMAP, ca.client())
		if err == nil {
			_, err = c.Probe(t.Context())
		}
		return c, err
	}
	old, err := session()
	must(t, err)
	done, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for done.Err() == nil {
				c, err := session()
				if err != nil {
					t.Errorf("a client was turned away: %v", err)
					return
				}
				c.Close()
			}
		})
	}
	must(t, p.cmd.Process.Signal(restart))
	waitFor(t, func() bool { return len(p.said("ready")) == 2 && len(p.said("draining")) == 1 })
	if _, err := session(); err != nil {
		t.Errorf("behind the restart: %v", err)
	}
	if _, err := old.Probe(t.Context()); err != nil {
		t.Errorf("the old session: %v", err)
	}
	old.Close()
	must(t, p.cmd.Wait())
	stop()
	clients.Wait()
	next, err := os.FindProcess(int(p.said("ready")[1]["pid"].(float64)))
	must(t, err)
	if _, err := session(); err != nil {
		t.Errorf("the old process took the socket with it: %v", err)
	}

	// The new one reads its configuration again, keeps it if the next is no good,
	// and ends in good order.
	must(t, os.WriteFile(p.config, []byte("nonsense"), 0o600))
	must(t, next.Signal(syscall.SIGHUP))
	waitFor(t, func() bool { return len(p.said("the configuration stays as it was")) == 1 })
	other := p.socket + "2"
	p.write(t, ca, b.addr, other)
	must(t, next.Signal(syscall.SIGHUP))
	waitFor(t, func() bool { return len(p.said("configuration read again")) == 1 })
	if _, err := os.Lstat(p.socket); err == nil {
		t.Error("the path of a socket that was handed over stays behind")
	}
	p.socket = other
	c, err := session()
	must(t, err)
	c.Close()
	must(t, next.Signal(syscall.SIGTERM))
	waitFor(t, func() bool { return len(p.said("ended")) == 2 })
}

// SIGTERM under load: who has been greeted comes to TLS and through his session,
// and the others are turned away before they have heard anything.
func TestSIGTERMUnderLoad(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None})
	p := startProcess(t, ca, b.addr, []string{os.Args[0]})
	must(t, p.cmd.Start())
	t.Cleanup(func() { p.cmd.Process.Kill() })
	waitFor(t, func() bool { return len(p.said("ready")) == 1 })
	var clients sync.WaitGroup
	var began atomic.Int32
	for range 8 {
		clients.Go(func() {
			for {
				greeted := false
				cfg := ca.client()
				cfg.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
					nc, err := new(net.Dialer).DialContext(ctx, network, addr)
					return heardFrom{nc, &greeted}, err
				}
				c, err := starttls.Dial(t.Context(), p.socket, protocol.IMAP, cfg)
				if err != nil {
					if greeted {
						t.Errorf("lost on the way to TLS: %v", err)
					}
					return
				}
				began.Add(1)
				for range 3 {
					if _, err := c.Probe(t.Context()); err != nil {
						t.Errorf("a session was lost: %v", err)
					}
				}
				c.Close()
			}
		})
	}
	waitFor(t, func() bool { return began.Load() > 30 })
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	clients.Wait()
	must(t, p.cmd.Wait())
	if end := p.said("ended"); len(end) != 1 || end[0]["sessions_cut"] != 0.0 {
		t.Errorf("%v", end)
	}
}

// heardFrom notes that anything was heard.
type heardFrom struct {
	net.Conn
	greeted *bool
}

func (h heardFrom) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	*h.greeted = *h.greeted || n > 0
	return n, err
}

// A restart that fails changes nothing.
func TestRestartThatFails(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None})
	p := startProcess(t, ca, b.addr, []string{os.Args[0]})
	must(t, p.cmd.Start())
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	waitFor(t, func() bool { return len(p.said("ready")) == 1 })
	must(t, os.WriteFile(p.config, []byte("nonsense"), 0o600))
	must(t, p.cmd.Process.Signal(restart))
	waitFor(t, func() bool { return len(p.said("no restart; going on")) == 1 })
	c, err := starttls.Dial(t.Context(), p.socket, protocol.IMAP, ca.client())
	must(t, err)
	c.Close()
}

// systemd hands a socket over, and is told when the gateway serves and when it
// ends.
func TestSystemd(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None})
	p := startProcess(t, ca, b.addr, []string{"/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0]})
	p.write(t, ca, b.addr, "fd:imap")
	l, err := net.Listen("unix", p.socket)
	must(t, err)
	defer l.Close()
	f, err := l.(*net.UnixListener).File()
	must(t, err)
	defer f.Close()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.socket + ".notify", Net: "unixgram"})
	must(t, err)
	defer manager.Close()
	manager.SetDeadline(time.Now().Add(20 * time.Second))
	p.cmd.ExtraFiles = []*os.File{f}
	p.cmd.Env = append(p.cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=imap", "NOTIFY_SOCKET="+p.socket+".notify")
	must(t, p.cmd.Start())
	t.Cleanup(func() { p.cmd.Process.Kill() })
	hear := func(want string) {
		t.Helper()
		buf := make([]byte, 1024)
		n, err := manager.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Fatalf("heard %q, %v, want %q", buf[:n], err, want)
		}
	}
	hear("READY=1\n")
	c, err := starttls.Dial(t.Context(), p.socket, protocol.IMAP, ca.client())
	must(t, err)
	_, err = c.Probe(t.Context())
	must(t, err)
	c.Close()
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	hear("STOPPING=1")
	if err := p.cmd.Wait(); err != nil {
		b, _ := os.ReadFile(p.log)
		t.Errorf("%v\n%s", err, b)
	}
}
