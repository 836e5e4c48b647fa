package main

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"example.org/starttls/internal/demo"
	"example.org/starttls/internal/testdns"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"starttls": main})
}

// The scripts see a demo of their own: $IMAP, $SUBMISSION and so on are the
// addresses of the healthy servers, $HIDES_TLS and so on the targets of those
// with a fault, $ROOT the file of the root they trust, $CLOSED an address where
// nobody listens, $DNS a name server that knows example.test, and the files of
// docs/dialogue.md are under the names they have there.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(e *testscript.Env) error {
			ctx, cancel := context.WithCancel(context.Background())
			d, err := demo.Start(ctx, false)
			if err != nil {
				cancel()
				return err
			}
			e.Defer(func() { cancel(); d.Close() })
			shell := strings.NewReplacer(" ", "_", "-", "_")
			for _, s := range d.Servers {
				if s.Fault == "" {
					e.Setenv(strings.ToUpper(shell.Replace(s.Target.Protocol.Info().Name)), s.Target.Address)
				} else {
					e.Setenv(strings.ToUpper(shell.Replace(s.Fault)), s.Target.String())
				}
			}
			_, port, _ := net.SplitHostPort(e.Getenv("IMAP"))
			dns, err := testdns.New(testdns.Zone{Origin: "example.test", State: testdns.Secure, Text: "_imap._tcp SRV 0 1 " + port + " demo\n@ MX 0 .\ndemo A 127.0.0.1\n"})
			if err != nil {
				return err
			}
			e.Defer(dns.Close)
			e.Setenv("DNS", dns.Addr)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Setenv("CLOSED", l.Addr().String())
			l.Close()
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second to end
			e.Setenv("NAME", demo.Name)
			e.Setenv("ROOT", filepath.Join(e.WorkDir, "root.pem"))
			if err := dialogues(e.WorkDir); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "root.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Root.Raw}), 0o600)
		},
	})
}

// exits CODE COMMAND... runs a command whose exit code is that one.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	code := "0"
	var e *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &e) {
		code = strconv.Itoa(e.ExitCode())
	} else {
		ts.Check(err)
	}
	if code != args[0] {
		ts.Fatalf("%q exits with %s, want %s", args[1:], code, args[0])
	}
}

// dialogues writes the files that docs/dialogue.md shows into dir.
func dialogues(dir string) error {
	page, err := os.ReadFile("../../docs/dialogue.md")
	for _, m := range regexp.MustCompile("(?s), as (\\S+\\.dialogue):\n\n```dialogue\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, m[1]), []byte(m[2]), 0o644))
	}
	return err
}
