package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.org/starttls/lab"
	"example.org/starttls/lab/render"

	"github.com/spf13/cobra"
)

// labRun is what "lab run" is told.
type labRun struct {
	protocols, cases []string
	expect, format   string
	host, listen     string
	dialogue         string
	own              bool
	dir              string
	timeout          time.Duration
	parallel         int
	noColor, quiet   bool
	evidence         bool
}

func newLabRun(a *app) *cobra.Command {
	var r labRun
	c := &cobra.Command{
		Use:   "run --protocol PROTOCOL [flags] -- COMMAND [ARG...]",
		Short: "Run a client once for each case, and print how it fared",
		Long: `run starts a server that lies for each case, runs COMMAND against it, and says
what the client gave away. In COMMAND, {host} {port} {addr} {user} {password}
{ca} {protocol} and {case} stand for what is so in each case; {ca} is the file of
the root to trust, user and password are bait, others in each case.

The score is 0 where the client gave nothing away, 1 where it went on in clear
with nothing of interest, 2 for names and addresses or for believing in TLS what
was said in clear, 3 for credentials or content, 3t for these inside TLS that it
must refuse. From 2 on a client that was to insist on TLS is vulnerable. For one
that was told to use TLS if possible, --expect opportunistic.

Exit codes: 0 clean; 1 the client fell for a case; 2 a malformed command line; 3
could not tell (no such program, or it gets nowhere with an honest server).`,
		Example: `  starttls lab run --protocol smtp -- swaks --server {host}:{port} --tls --tls-verify --tls-ca-path {ca} --to a@example.test --from b@example.test --auth PLAIN --auth-user {user} --auth-password {password}
  starttls lab run --protocol imap --format json -- curl --ssl-reqd --cacert {ca} -u {user}:{password} imap://{host}:{port}/`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, argv []string) error { return a.labRun(c, r, argv) },
	}
	r.flags(c)
	f := c.Flags()
	f.StringVar(&r.format, "format", "text", "`FORMAT` of the report: text, json, junit, sarif or html")
	f.DurationVar(&r.timeout, "timeout", 20*time.Second, "`TIME` the client may take for one case")
	f.IntVar(&r.parallel, "parallel", 8, "`NUMBER` of cases at a time")
	f.BoolVar(&r.evidence, "evidence", false, "show the dialogue of each case that did not go well")
	f.BoolVarP(&r.quiet, "quiet", "q", false, "no line for each case as it happens")
	return c
}

// flags are those that a stand-alone lab has too.
func (r *labRun) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&r.protocols, "protocol", nil, "`PROTOCOL` that the client speaks, or several of them")
	f.StringVar(&r.dialogue, "dialogue", "", "speak the protocol that `FILE` describes")
	f.StringSliceVar(&r.cases, "case", nil, "only these `CASES`; \"starttls lab list\" lists them")
	f.StringVar(&r.expect, "expect", "required", "what the client was asked for: required or opportunistic `TLS`")
	f.StringVar(&r.host, "name", "localhost", "`NAME` by which the client is to call the server; it must lead here")
	f.StringVar(&r.listen, "listen", "127.0.0.1", "`ADDRESS` to listen at, without a port")
	f.BoolVar(&r.own, "i-own-this-network", false, "listen at other addresses than loopback")
	f.StringVar(&r.dir, "out", "", "`FOLDER` for the root certificate, the evidence and the client's own output; by default a new temporary one")
	f.BoolVar(&r.noColor, "no-color", false, "no colours")
}

func (r labRun) options() (o lab.Options, err error) {
	if len(r.protocols) == 0 && r.dialogue == "" {
		return o, usagef("as in: starttls lab run --protocol imap -- CLIENT {host} {port}", "which protocol does the client speak? --protocol says it")
	}
	if o.Protocols, err = parseProtocols(r.protocols, r.dialogue); err != nil {
		return o, err
	}
	if err := parseCases(r.cases, o.Protocols...); err != nil {
		return o, err
	}
	if o.Expect = lab.Expect(r.expect); o.Expect != lab.Required && o.Expect != lab.Opportunistic {
		return o, usagef("required or opportunistic", "--expect %q is not known", r.expect)
	}
	if err := r.checkFormat(); err != nil {
		return o, err
	}
	if err := mayListen(r.listen, r.own); err != nil {
		return o, err
	}
	o.Cases, o.Host, o.Listen, o.Parallel = r.cases, r.host, r.listen, r.parallel
	return o, nil
}

func (r labRun) checkFormat() error {
	if r.format != "text" && !slices.Contains(render.Formats, r.format) {
		return usagef("text, "+strings.Join(render.Formats, ", "), "--format %q is not known", r.format)
	}
	return nil
}

// checkRun refuses what no command can be run by.
func (r labRun) checkRun() error {
	if r.parallel < 1 {
		return usagef("as in --parallel 8", "--parallel %d is no number of cases", r.parallel)
	}
	if r.timeout <= 0 {
		return usagef("as in --timeout 20s", "--timeout %s is not a time to wait", r.timeout)
	}
	return nil
}

func (a *app) labRun(c *cobra.Command, r labRun, argv []string) error {
	o, err := r.options()
	if err == nil {
		err = r.checkRun()
	}
	if err != nil {
		return err
	}
	if len(argv) == 0 {
		return usagef("it stands behind --, as in: starttls lab run --protocol imap -- CLIENT {host} {port}", "lab run needs a client")
	}
	if r.dir, err = outFolder(r.dir); err != nil {
		return err
	}
	client := &lab.Command{Argv: argv, Dir: r.dir, Timeout: r.timeout}
	if err := client.Check(); err != nil {
		return usagef("is it installed? give its path, as in ./client", "%v", err)
	}
	lines := a.out
	if r.format != "text" {
		lines = a.err
	}
	if r.quiet {
		lines = io.Discard
	}
	o.OnResult = func(x lab.Result) {
		render.Line(lines, x, !r.noColor && colorful(lines))
		if r.evidence && x.Verdict != lab.OK {
			render.Evidence(lines, x)
		}
	}
	rep, err := lab.Run(c.Context(), o, client.Run)
	rep.Client = argv
	if err != nil {
		rep.Error = err.Error()
	}
	return a.labReport(r, rep)
}

// labReport prints the report; its exit code is the command's.
func (a *app) labReport(r labRun, rep lab.Report) error {
	if err := a.labPrint(r, rep); err != nil {
		return err
	}
	if code := rep.ExitCode(); code != 0 {
		return &exit{code: code, message: rep.Error}
	}
	return nil
}

// labPrint prints the report, and leaves the evidence beside the client's output.
func (a *app) labPrint(r labRun, rep lab.Report) error {
	file, err := os.Create(filepath.Join(r.dir, "report.json"))
	if err == nil {
		err = render.Report(file, rep, "json", buildVersion())
		file.Close()
	}
	switch {
	case err != nil:
	case r.format == "text":
		err = render.Summary(a.out, rep)
	default:
		err = render.Report(a.out, rep, r.format, buildVersion())
	}
	if err != nil {
		return &exit{exitUnknown, err.Error(), ""}
	}
	fmt.Fprintf(a.err, "evidence and the client's output: %s\n", r.dir)
	return nil
}
