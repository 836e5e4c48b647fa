package bench

import (
	"crypto/tls"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

var (
	processes = flag.Bool("processes", false, "measure check as a whole process in pairs with other tools")
	pairs     = flag.Int("pairs", 100, "pairs of runs with each other tool")
)

// TestProcesses runs check of one loopback SMTP server and, in turn with it, the
// other tools: the median of wall and CPU time, and of the ratios of each pair.
func TestProcesses(t *testing.T) {
	if !*processes {
		t.Skip("go test ./bench -processes measures; it asserts nothing")
	}
	ca, addr := mailServer(t)
	binary := filepath.Join(t.TempDir(), "starttls")
	build := exec.Command("go", "build", "-o", binary, "../cmd/starttls")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make install does
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	host, port, _ := net.SplitHostPort(addr)
	check := func(args ...string) []string {
		return append([]string{binary, "check", "--ca", ca, "--name", name, "smtp://" + addr}, args...)
	}
	others := [][]string{
		{"openssl", "s_client", "-starttls", "smtp", "-connect", addr, "-CAfile", ca, "-verify_hostname", name, "-verify_return_error"},
		{"gnutls-cli", "--starttls-proto=smtp", "--x509cafile=" + ca, "--verify-hostname=" + name, "--sni-hostname=" + name, "-p", port, host},
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "check\tbeside\twall\tbeside\tratio, median (min to max)\tCPU\tbeside\tratio, median (min to max)\t")
	for _, level := range []string{"0", "1", "2"} {
		for _, other := range others {
			if _, err := exec.LookPath(other[0]); err != nil {
				fmt.Fprintf(w, "--level %s\t%s\tnot installed\n", level, other[0])
				continue
			}
			wall, cpu := pairOff(t, check("--level", level), other)
			fmt.Fprintf(w, "--level %s\t%s\t%s\t%s\t\n", level, other[0], wall, cpu)
		}
	}
	w.Flush()
}

// measured is one quantity, of two commands run in pairs.
type measured struct{ ours, theirs, ratios []float64 }

func (m *measured) add(ours, theirs time.Duration) {
	m.ours, m.theirs = append(m.ours, ours.Seconds()*1000), append(m.theirs, theirs.Seconds()*1000)
	m.ratios = append(m.ratios, float64(ours)/float64(theirs))
}

func (m *measured) String() string {
	return fmt.Sprintf("%.1f ms\t%.1f ms\t%.2f (%.2f to %.2f)", median(m.ours), median(m.theirs), median(m.ratios), slices.Min(m.ratios), slices.Max(m.ratios))
}

// pairOff runs both commands in pairs, the one first in every other pair.
func pairOff(t *testing.T, ours, theirs []string) (wall, cpu *measured) {
	wall, cpu = new(measured), new(measured)
	for i := range *pairs {
		var ourWall, ourCPU, theirWall, theirCPU time.Duration
		if i%2 == 0 {
			ourWall, ourCPU = runOnce(t, ours)
		}
		theirWall, theirCPU = runOnce(t, theirs)
		if i%2 == 1 {
			ourWall, ourCPU = runOnce(t, ours)
		}
		wall.add(ourWall, theirWall)
		cpu.add(ourCPU, theirCPU)
	}
	return wall, cpu
}

// runOnce runs a command, its input empty; its output is shown if it fails.
func runOnce(t *testing.T, command []string) (wall, cpu time.Duration) {
	t.Helper()
	c := exec.Command(command[0], command[1:]...)
	var out strings.Builder
	c.Stdout = &out
	start := time.Now()
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out.String())
	}
	return time.Since(start), c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

// mailServer serves SMTP on loopback, and returns the file of its root.
func mailServer(t *testing.T) (caFile, addr string) {
	t.Helper()
	ca, err := testca.New("bench root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := starttls.NewListener(tcp, protocol.SMTP, &starttls.Config{ServerName: name, Offer: starttls.Offer{Mode: starttls.Optional}, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				w := c.(*starttls.Conn).Wire(t.Context())
				defer w.Release()
				protocol.SMTP.Serve(w, starttls.Hello{}, nil)
			}()
		}
	}()
	return caFile, tcp.Addr().String()
}
