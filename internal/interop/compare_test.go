package interop

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/demo"
	"example.org/starttls/protocol"
)

// comparePage is where `make compare` has the table of tools printed.
var comparePage = flag.String("compare", "", "point every tool at every hostile server of the demo, and print the table into this `FILE`")

// said is what a tool made of a server.
type said struct {
	out  string
	code int
	late bool // it was ended, its time was up
}

// word is the verdict, and the line that it rests on. healthy is what the same
// tool said of a healthy server.
func (x behaviour) word(t tool, healthy, got said) (verdict, line string) {
	same := !got.late && got.code == healthy.code && t.began.MatchString(got.out)
	news := t.news(healthy.out, got.out)
	if x.names == nil {
		switch {
		case same:
			return "ok", ""
		case got.late:
			return fmt.Sprintf("> %.0f s", t.limit.Seconds()), last(news)
		}
		return "fails", last(news)
	}
	if i := slices.IndexFunc(news, x.names.MatchString); i >= 0 {
		return "named", news[i]
	}
	switch {
	case got.late:
		return fmt.Sprintf("> %.0f s", t.limit.Seconds()), last(news)
	case same:
		return "not seen", ""
	}
	return "stops", last(news)
}

// news are the tool's own lines that it does not also print of a healthy server,
// figures of more than one digit aside.
func (t tool) news(healthy, out string) (lines []string) {
	figures := regexp.MustCompile(`[0-9a-fA-F]*[0-9][0-9a-fA-F]+|[0-9a-fA-F]+[0-9]`)
	plain := func(s string) string { return figures.ReplaceAllString(strings.Join(strings.Fields(s), " "), "0") }
	known := map[string]bool{"": true}
	for l := range strings.SplitSeq(healthy, "\n") {
		known[plain(l)] = true
	}
	for l := range strings.SplitSeq(out, "\n") {
		l = strings.TrimSpace(starttls.Escape(strings.TrimSpace(l)))
		if !known[plain(l)] && (t.quotes == nil || !t.quotes.MatchString(l)) {
			lines = append(lines, l)
		}
	}
	return lines
}

func last(lines []string) string {
	if len(lines) == 0 {
		return "(nothing)"
	}
	return lines[len(lines)-1]
}

// ask points a tool at a server.
func (t tool) ask(ctx context.Context, env []string) said {
	ctx, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", t.command)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // and its children
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		return said{err.Error(), -1, false}
	}
	return said{out.String(), cmd.ProcessState.ExitCode(), ctx.Err() != nil}
}

// TestCompareTools measures. What others do is no failure of ours; what `check`
// does not name is.
func TestCompareTools(t *testing.T) {
	if *comparePage == "" {
		t.Skip("make compare runs it")
	}
	bin := t.TempDir()
	out, err := exec.Command("go", "build", "-o", bin, "example.org/starttls/cmd/starttls").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	page := &comparison{path: *comparePage}
	var wg sync.WaitGroup
	for _, c := range []struct {
		protocol starttls.Protocol
		calls    string // what other tools call it
	}{{protocol.Submission, "smtp"}, {protocol.IMAP, "imap"}} {
		d, err := demo.Start(t.Context(), true, c.protocol)
		check(t, err)
		defer d.Close()
		part := &part{protocol: c.protocol.Info().Title, cells: map[string]cell{}}
		page.parts = append(page.parts, part)
		ca := filepath.Join(t.TempDir(), "root.pem")
		check(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Root.Raw}), 0o644))
		env := func(s demo.Server) []string {
			return []string{"CA=" + ca, "SCRATCH=" + bin, "NAME=" + demo.Name, "PROTO=" + c.calls, "SCHEME=" + c.protocol.Info().Name, fmt.Sprint("PORT=", s.Target.Port)}
		}
		wg.Go(func() { compare(t, page, part, d, env, c.protocol) })
	}
	wg.Wait()
}

// compare points the tools at the servers of one protocol, four at a time of
// those that make one connection, and two of those that make many.
func compare(t *testing.T, page *comparison, part *part, d *demo.Demo, env func(demo.Server) []string, p starttls.Protocol) {
	healthy := d.Servers[slices.IndexFunc(d.Servers, func(s demo.Server) bool { return s.Target.Protocol.Info().Name == p.Info().Name && s.Fault == "" })]
	var wg sync.WaitGroup
	quick, slow := make(chan struct{}, 4), make(chan struct{}, 2)
	for _, tool := range tools {
		if tool.only != "" && !slices.Contains(env(healthy), "PROTO="+tool.only) {
			continue
		}
		slots := quick
		if tool.limit > 20*time.Second {
			slots = slow
		}
		baseline := sync.OnceValue(func() said { return tool.ask(t.Context(), env(healthy)) })
		for _, x := range behaviours {
			i := slices.IndexFunc(d.Servers, func(s demo.Server) bool { return s.Target.Protocol.Info().Name == p.Info().Name && s.Fault == x.fault })
			if i < 0 {
				continue // it is shown in the other protocol only
			}
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				good := baseline()
				got := good
				if !good.late { // else it needs longer than it has, whatever it meets
					got = tool.ask(t.Context(), env(d.Servers[i]))
				}
				verdict, line := x.word(tool, good, got)
				if good.late {
					line = ""
				}
				if tool.ours && verdict != "ok" && verdict != "named" {
					t.Errorf("%s, %s: %s %s: %s", part.protocol, x.fault, tool.name, verdict, line)
				}
				if err := page.add(part, x.fault, tool.name, cell{verdict, line}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for _, s := range d.Servers {
		if s.Target.Protocol.Info().Name == p.Info().Name && s.Fault != "" && !strings.HasPrefix(s.Fault, "TLS ") && !slices.ContainsFunc(behaviours, func(x behaviour) bool { return x.fault == s.Fault }) {
			t.Errorf("no tool was pointed at %q", s.Fault)
		}
	}
}

// The verdict follows from what a tool prints and how it exits, and nothing else.
func TestCompareVerdicts(t *testing.T) {
	x := tool{began: regexp.MustCompile(`TLS began`), quotes: regexp.MustCompile(`^<`), limit: 20 * time.Second}
	good := said{out: "hello\nTLS began with 1234 bits, not expired\n"}
	fault := behaviour{"expired", regexp.MustCompile(`(?i)expired`)}
	harmless := behaviour{"slow", nil}
	for _, c := range []struct {
		behaviour
		got  said
		want string
	}{
		{harmless, good, "ok"},
		{harmless, said{"hello\nno STARTTLS\n", 0, false}, "fails"},
		{harmless, said{"TLS began\n", 1, false}, "fails"},
		{harmless, said{"hello", -1, true}, "> 20 s"},
		{fault, good, "not seen"},
		{fault, said{"TLS began with 99 bits, not expired\n", 0, false}, "not seen"}, // as of a healthy server
		{fault, said{"TLS began\nthe certificate has expired\n", 0, false}, "named"},
		{fault, said{"TLS began\n<- 500 expired\n", 0, false}, "not seen"}, // the server's words
		{fault, said{"hello\nwrong version number\n", 1, false}, "stops"},
		{fault, said{"hello\n", -1, true}, "> 20 s"},
	} {
		if got, _ := c.word(x, good, c.got); got != c.want {
			t.Errorf("%s, %+v: %q, want %q", c.fault, c.got, got, c.want)
		}
	}
}
