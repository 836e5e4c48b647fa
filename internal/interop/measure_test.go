package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	starttlscheck "example.org/starttls/check"
)

var measure = flag.Bool("measure", false, "measure check of one Postfix beside sslscan and testssl.sh")

// TestMeasureCheck prints, and asserts nothing: how long each way to look at one
// loopback Postfix takes, with how many connections and how much memory.
func TestMeasureCheck(t *testing.T) {
	if !*measure {
		t.Skip("make bench runs it")
	}
	bin := filepath.Join(t.TempDir(), "starttls")
	if out, err := exec.Command("go", "build", "-o", bin, "example.org/starttls/cmd/starttls").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := startPostfix(t, postfixOptions{})
	ours := []string{bin, "check", "--format", "json", "--ca", p.CAFile, "--name", serverName}
	target := "smtp://" + p.SMTP
	for round := 1; round <= 3; round++ {
		measured(t, fmt.Sprintf("round %d  check --level 1", round), append(ours, "--level", "1", target)...)
		measured(t, fmt.Sprintf("round %d  check", round), append(ours, target)...)
		measured(t, fmt.Sprintf("round %d  check --full", round), append(ours, "--full", target)...)
		measured(t, fmt.Sprintf("round %d  the same, TLS alone", round), append(ours, "--full", "--level", "1", target)...)
		measured(t, fmt.Sprintf("round %d  sslscan", round), "sslscan", "--starttls-smtp", "--sni-name="+serverName, p.SMTP)
	}
	measured(t, "once     testssl.sh", "testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", "127.0.0.1",
		"--add-ca", p.CAFile, "--starttls", "smtp", serverName+":"+portOf(p.SMTP))
}

// measured runs a program for ten minutes at most and prints what it took.
func measured(t *testing.T, label string, argv ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if _, err := exec.LookPath(argv[0]); err != nil {
		fmt.Printf("%s: not installed\n", label)
		return
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	began := time.Now()
	err := cmd.Run()
	wall := time.Since(began).Seconds()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	more := ""
	if ctx.Err() != nil {
		more = "more than "
	}
	line := fmt.Sprintf("%-29s %s%.2f s wall, %.2f s CPU", label, more, wall, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		line += fmt.Sprintf(", peak %.1f MiB", float64(u.Maxrss)/1024) // of the largest process
	}
	var r starttlscheck.Report
	if json.Unmarshal(out.Bytes(), &r) == nil && len(r.Results) == 1 {
		line += fmt.Sprintf(", %d connections, %s", r.Results[0].Connections, r.Results[0].Outcome)
	}
	fmt.Println(line)
}
