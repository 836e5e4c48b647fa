package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"
	"example.org/starttls/check/render"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// output is how a report is printed.
type output struct {
	format     string
	transcript bool
	noColor    bool
	quiet      bool
	failOn     check.Severity
}

func (o *output) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.format, "format", "text", "`FORMAT` of the report: "+strings.Join(render.Formats(), ", "))
	f.BoolVar(&o.transcript, "transcript", false, "show the dialogue too")
	f.BoolVar(&o.noColor, "no-color", false, "no colours")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing but findings' targets; the exit code tells")
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(render.Formats(), cobra.ShellCompDirectiveNoFileComp))
}

func (o *output) check() error {
	if !slices.Contains(render.Formats(), o.format) {
		return usagef(strings.Join(render.Formats(), ", "), "--format %q is not known", o.format)
	}
	return nil
}

// print writes the report to w. For people, a target that could not so much as
// be reached has nothing to report: what is wrong goes to stderr, as for
// anything else that they typed.
func (o *output) print(w, stderr io.Writer, r check.Report) error {
	opts := render.Options{Color: !o.noColor && colorful(w), FailOn: o.failOn, Version: buildVersion()}
	if o.format != "text" {
		return render.Write(w, o.format, r, opts)
	}
	unreachable := func(r check.Result) bool { return r.Error != nil && r.Error.Stage == string(starttls.StageDial) }
	for _, r := range r.Results {
		if unreachable(r) {
			fmt.Fprintf(stderr, "starttls: %s: %s\n", r.Target, r.Error.Message)
			if r.Error.Hint != "" {
				fmt.Fprintf(stderr, "hint: %s\n", r.Error.Hint)
			}
		}
	}
	if r.Results = slices.DeleteFunc(slices.Clone(r.Results), unreachable); len(r.Results) == 0 {
		return nil
	}
	if o.quiet {
		r.Results = slices.DeleteFunc(slices.Clone(r.Results), func(r check.Result) bool { return r.Verdict == "ok" })
	}
	return render.Text(w, r, opts)
}

// colorful reports whether w is a terminal whose user wants colours.
func colorful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func newCheck(a *app) *cobra.Command {
	var n network
	var o output
	var d depth
	var h history
	var all bool
	var failOn, explain, reflector string
	c := &cobra.Command{
		Use:   "check TARGET...",
		Short: "Test whether a server upgrades to TLS, and safely",
		Long: `check connects to each TARGET, upgrades it to TLS and says what it found: whether
TLS is offered and accepted, the version, cipher and group, the certificate and
whether it verifies, what the server offers before TLS and inside it, what went
in clear, and what is wrong, worst first, each with its fix.

A bare name is a domain: its services are found by MX, SRV and autoconfig, and
each of their addresses is checked. Where it has none of these, the usual ports
of all protocols are tried at the name itself.

With --reflect it checks the path to a reflector of your own ("starttls lab
reflect") in the place of a server. Each TARGET is then a way there; without any,
it goes to all that the reflector serves.

Exit codes: 0 clean; 1 findings at or above --fail-on; 2 a malformed command
line; 3 could not tell (no such name, refused, timed out).`,
		Example: `  starttls check example.org
  starttls check smtp://mx.example.org
  starttls check --ca root.pem --name mail.example.org imap://127.0.0.1:1143
  starttls check mail.example.org:993 --format json`,
		Args:             cobra.ArbitraryArgs,
		PersistentPreRun: interruptible(250 * time.Millisecond),
		RunE: func(c *cobra.Command, args []string) error {
			if explain != "" {
				return a.explain(explain)
			}
			if len(args) == 0 && reflector == "" {
				return usagef("as in: starttls check smtp://mx.example.org", "check needs a target")
			}
			fail := check.Severity(failOn)
			if !slices.Contains([]check.Severity{check.Info, check.Low, check.Medium, check.High}, fail) {
				return usagef("info, low, medium or high", "--fail-on %q is not known", failOn)
			}
			var jobs []job
			for _, arg := range args {
				j, err := n.job(arg)
				if err != nil {
					return err
				}
				jobs = append(jobs, j)
			}
			err := errors.Join(o.check(), d.check(), h.read(), n.prepare())
			if err != nil {
				return err
			}
			if d.rules != nil && d.rules.FailOn != "" && !c.Flags().Changed("fail-on") {
				fail = d.rules.FailOn
			}
			o.failOn = fail
			ctx, cancel := context.WithTimeout(c.Context(), 45*time.Second)
			defer cancel()
			r := check.Report{Schema: check.Schema, Made: time.Now().UTC().Format(time.RFC3339)}
			if reflector == "" {
				r.Results = a.checkAll(ctx, &n, o, d, jobs, all)
			} else if r.Results, err = a.checkPaths(ctx, &n, reflector, jobs); err != nil {
				return err
			}
			h.hold(&r, a.err)
			if err := o.print(a.out, a.err, r); err != nil {
				return &exit{exitUnknown, err.Error(), ""}
			}
			if err := h.keep(&r); err != nil {
				return err
			}
			code := r.ExitCode(fail)
			if o.format == "nagios" {
				code = render.NagiosExit(r, fail)
			}
			if code != 0 {
				return &exit{code: code}
			}
			return nil
		},
	}
	n.flags(c)
	o.flags(c)
	d.flags(c)
	h.flags(c)
	c.Flags().StringVar(&explain, "explain", "", "tell of the finding `ID` at length, and check nothing")
	c.Flags().StringVar(&reflector, "reflect", "", "check the path to the reflector at `HOST:PORT#TOKEN`, as \"lab reflect\" prints it")
	c.Flags().BoolVar(&all, "all-addresses", false, "check every address of each target, not the first alone")
	c.Flags().StringVar(&failOn, "fail-on", "medium", "exit with 1 for findings of this `SEVERITY` or worse: info, low, medium, high")
	c.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"info", "low", "medium", "high"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// readProfile reads the profile: one that comes with the program, or a file.
func (d *depth) readProfile() error {
	if d.profile == "" {
		return nil
	}
	if p, ok := check.BuiltinProfile(d.profile); ok {
		d.rules = p
		return nil
	}
	b, err := os.ReadFile(d.profile)
	if err != nil {
		return usagef(strings.Join(check.Profiles(), ", ")+", or a file", "--profile: %v", err)
	}
	if d.rules, err = check.ParseProfile(b); err != nil {
		return usagef("docs/profiles.md shows one", "--profile %s: %v", d.profile, err)
	}
	return nil
}

// requirable are the levels that can be asked for.
var requirable = []string{"encrypt", "verify", "mta-sts", "dane"}

// depth is how much to ask of a server.
type depth struct {
	level       int
	full        bool
	connections int
	require     string
	online      bool
	profile     string
	rules       *check.Profile
}

func (d *depth) flags(c *cobra.Command) {
	f := c.Flags()
	f.IntVar(&d.level, "level", 2, "how far to go: 0 one visit as any client makes it, 1 more handshakes, 2 harmless probes that no client would make, 3 sign-ins with random credentials and mail transactions up to a recipient")
	f.BoolVar(&d.full, "full", false, "every variant of every test, all that TLS has, and zlint where the command was built with the tag zlint")
	f.StringVar(&d.require, "require", "", "exit with 1 unless this `LEVEL` is reached: encrypt, verify, mta-sts or dane")
	c.RegisterFlagCompletionFunc("require", cobra.FixedCompletions(requirable, cobra.ShellCompDirectiveNoFileComp))
	f.StringVar(&d.profile, "profile", "", "judge by the house rules of `NAME or FILE`: "+strings.Join(check.Profiles(), ", ")+", or a TOML file")
	c.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(check.Profiles(), cobra.ShellCompDirectiveDefault))
	f.BoolVar(&d.online, "online", false, "ask the certificate's authority whether it was revoked (OCSP, or its list)")
	f.IntVar(&d.connections, "max-connections", 0, "make at most `N` connections to one server (default 25, or 250 with --full)")
}

func (d *depth) check() error {
	if d.level < 0 || d.level > 3 {
		return usagef("0, 1, 2 or 3", "--level %d is not known", d.level)
	}
	if d.require != "" && !slices.Contains(requirable, d.require) {
		return usagef(strings.Join(requirable, ", "), "--require %q is not known", d.require)
	}
	if err := d.readProfile(); err != nil {
		return err
	}
	if d.connections < 0 {
		return usagef("as in --max-connections 10", "--max-connections %d is not a number of connections", d.connections)
	}
	return nil
}
