// Package interop meets real servers. Each start function (startPostfix,
// startDovecot ...) runs one with a configuration and state folder of its own
// on free loopback ports, and ends it with the test; each shared function
// (sharedPostfix ...) starts it once and ends it with the package, for tests
// that leave it as they found it.
//
// They need root, because most of these servers drop privileges themselves,
// and the packages that `make peers` installs. Where either lacks, tests are
// skipped, or fail if STARTTLS_PEERS=required.
package interop

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What every server here is called and whom it knows.
const (
	domain     = "example.test"
	serverName = "mail." + domain // certificates name it, and domain too
	account    = "user"           // in mail and XMPP: user@example.test
	password   = "open-sesame-7"
	mailUser   = account + "@" + domain
)

// patience bounds a server's start, and each command run on the way there.
const patience = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	defer endShared()
	return compareMet(m.Run())
}

// server is one real server: its folder, its process and its certificates' root.
type server struct {
	Name   string
	Dir    string // configuration and state; its path is short enough for unix sockets
	CAFile string // PEM root that its certificates are issued by

	end    syscall.Signal // asks it to end; SIGTERM unless set before run
	exited chan struct{}  // closed when it has
}

// newServer makes the folder of a server, or skips the test where one of the
// programs, absolute paths, is missing.
func newServer(t testing.TB, name string, programs ...string) *server {
	t.Helper()
	for _, p := range programs {
		if _, err := os.Stat(p); err != nil {
			missing(t, name+" is not installed: run make peers")
		}
	}
	if os.Geteuid() != 0 {
		missing(t, name+" is started as root: run the tests as root")
	}
	return &server{Name: name, Dir: shortDir(t), CAFile: authority(t).File, end: syscall.SIGTERM}
}

// unpacked gives the path of a program of a Debian package that scripts/peers.sh
// has unpacked beside the system, since it conflicts with one that is installed.
func unpacked(pkg, program string) string {
	return filepath.Join(unpackedDir, pkg, program)
}

const unpackedDir = "/var/cache/starttls-peers"

func missing(t testing.TB, why string) {
	t.Helper()
	peersMissing.Store(true)
	if os.Getenv("STARTTLS_PEERS") == "required" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// shortDir is a folder that every user may enter. t.TempDir is neither short
// enough for a unix socket's path nor open to the servers' own users.
func shortDir(t testing.TB) string {
	t.Helper()
	parent := os.TempDir()
	if len(parent) > 40 {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "st")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	return dir
}

// write puts a file into the server's folder and returns its path.
func (s *server) write(t testing.TB, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	check(t, os.WriteFile(path, []byte(text), mode))
	return path
}

// mkdir makes a folder in the server's folder and returns its path.
func (s *server) mkdir(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	check(t, os.MkdirAll(path, 0o755))
	return path
}

// giveTo hands all that is in the server's folder now to the user it runs as.
func (s *server) giveTo(t testing.TB, name string) {
	t.Helper()
	id := credential(t, name)
	check(t, filepath.Walk(s.Dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(id.Uid), int(id.Gid))
	}))
}

// prepare runs a command to its end, as the user as, before the server starts.
func (s *server) prepare(t testing.TB, as, stdin string, argv ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "INNCONF="+filepath.Join(s.Dir, "inn.conf"))
	cmd.Stdin = bytes.NewReader([]byte(stdin))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(t, as)}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %s: %v\n%s", s.Name, filepath.Base(argv[0]), err, out)
	}
}

// run starts the server in the foreground, as the user as, and returns when
// all of addrs accept connections. The test's end ends it.
func (s *server) run(t testing.TB, as string, addrs []string, argv ...string) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.Dir, "output.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	check(t, err)
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "INNCONF="+filepath.Join(s.Dir, "inn.conf"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: credential(t, as),
		Setpgid:    true,            // so that what it leaves behind can be ended too
		Pdeathsig:  syscall.SIGTERM, // a test that panics leaves no server
	}
	check(t, cmd.Start())
	s.exited = make(chan struct{})
	go func() { defer close(s.exited); _ = cmd.Wait() }()
	t.Cleanup(func() { s.stop(cmd.Process) })
	s.logOnFailure(t)
	for _, addr := range addrs {
		s.await(t, "accept at "+addr, func() bool { return accepts(addr) })
	}
}

// await polls until ready says yes.
func (s *server) await(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ready(); {
		select {
		case <-s.exited:
			if ready() { // it came so far, and then ended of itself
				return
			}
			t.Fatalf("%s ended before it could %s\n%s", s.Name, what, s.logs())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not %s within %v\n%s", s.Name, what, patience, s.logs())
		}
	}
}

// stop asks the server to end, and after a while its whole process group.
func (s *server) stop(p *os.Process) {
	_ = p.Signal(s.end)
	select {
	case <-s.exited:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	<-s.exited
}

// logOnFailure shows what the server said when a test that used it has failed.
func (s *server) logOnFailure(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", s.Name, s.logs())
		}
	})
}

// logs returns the end of all the server's logs.
func (s *server) logs() string {
	var b bytes.Buffer
	names, _ := filepath.Glob(filepath.Join(s.Dir, "*.log"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		fmt.Fprintf(&b, "--- %s\n%s", filepath.Base(name), text[max(0, len(text)-8<<10):])
	}
	return b.String()
}

func accepts(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// credential is the user, with his main group alone; "root" changes nothing.
func credential(t testing.TB, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	check(t, err)
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var taken sync.Map // ports handed out by freeAddr

// freeAddr returns a loopback address that nobody listens at. Its port lies
// below those the kernel gives to outgoing connections, one of which would
// else take it before the server does.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(17000))
		if _, again := taken.LoadOrStore(addr, true); again {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
