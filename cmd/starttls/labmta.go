package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"example.org/starttls/lab"
	"example.org/starttls/lab/mta"
	"example.org/starttls/lab/render"

	"github.com/spf13/cobra"
)

// labMTA is what "lab mta" is told.
type labMTA struct {
	labRun
	first, dns, resolver string
	port, https          int
	wait                 time.Duration
}

func newLabMTA(a *app) *cobra.Command {
	var m labMTA
	c := &cobra.Command{
		Use:   "mta [flags] [-- COMMAND [ARG...]]",
		Short: "Judge a mail server as a sender: DANE, MTA-STS, REQUIRETLS, TLSRPT",
		Long: `mta has a mail domain for each case, CASE.lab.test or CASE.unsigned.test, with
mail servers, a policy host and DNS records that are sound or not. One message to
user@DOMAIN, sent through the mail server under test, is what that is judged by:
the message must get there in some cases, and must not in the others.

The mail server needs to find the domains. --dns is the name server of both zones,
of which lab.test is signed; in the folder --out there are its trust anchor
(lab.test.ds), what configurations of Unbound and BIND need to validate it
(unbound.conf, named.conf), and the root that HTTPS and mail servers are to be
trusted by (root.pem). Who has no such resolver asks the one at --resolver: it
answers as if it had validated, with the AD bit or SERVFAIL. At port 53 of an
address of its own, resolv.conf can name it.

Everything listens at loopback, each mail server at an address of its own, from
--listen on, which needs a system whose whole 127.0.0.0/8 is loopback (Linux).
Ports below 1024 need root. The sender can be told another --port: Postfix by
smtp_tcp_port, Exim by the port of its smtp transport. Policy hosts are at 443, of
which senders can rarely be told anything else (--https).

With COMMAND, it is run for each case with {rcpt} {domain} {case} {dns} {resolver}
{port} {https} {ca} filled in, and has a sender send one message, twice where a
policy changes in between; {mail} is REQUIRETLS and {header} is "TLS-Required: No"
in the cases about these, which are skipped if COMMAND lacks the word. A command
that only queues the message is fine: --wait is how long a sender may then be
silent. Without COMMAND, mta serves until it is interrupted, and says what each
connection and each TLS report was.

Verdicts and scores are those of "lab run": vulnerable where the message or its
addresses went where they must not, warn where mail was refused that must be
accepted. A report that was asked for and did not come is an info: most senders
report once a day.`,
		Example: `  starttls lab mta --port 2525 --https 8443 --resolver 127.0.0.53:53 --out mta
  starttls lab mta --case 'dane-*' -- sh -c 'echo test | sendmail -f me@example.test {rcpt}'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, argv []string) error { return a.labMTA(c.Context(), m, argv) },
	}
	f := c.Flags()
	f.StringSliceVar(&m.cases, "case", nil, "only these `CASES`, * standing for any letters; \"starttls lab list --protocol smtp\" lists them")
	f.StringVar(&m.first, "listen", "127.25.0.1", "first `ADDRESS` of the mail servers")
	f.IntVar(&m.port, "port", 25, "`PORT` of the mail servers; 0: a free one")
	f.IntVar(&m.https, "https", 443, "`PORT` of the policy hosts; 0: a free one")
	f.StringVar(&m.dns, "dns", "127.0.0.1:0", "`ADDR` of the name server of both zones (IP:PORT)")
	f.StringVar(&m.resolver, "resolver", "127.0.0.1:0", "`ADDR` of a server that answers as a resolver that has validated (IP:PORT)")
	f.DurationVar(&m.wait, "wait", 5*time.Second, "`TIME` that a sender may be silent, once COMMAND has ended")
	f.DurationVar(&m.timeout, "timeout", 20*time.Second, "`TIME` that COMMAND may take")
	f.IntVar(&m.parallel, "parallel", 8, "`NUMBER` of cases at a time")
	f.StringVar(&m.format, "format", "text", "`FORMAT` of the report: text, json, junit, sarif or html")
	f.StringVar(&m.dir, "out", "", "`FOLDER` for the trust anchor, the root certificate, the evidence and the command's output; by default a new temporary one")
	f.BoolVar(&m.evidence, "evidence", false, "show the dialogue of each case that did not go well")
	f.BoolVarP(&m.quiet, "quiet", "q", false, "no line for each case as it happens")
	f.BoolVar(&m.noColor, "no-color", false, "no colours")
	return c
}

func (m *labMTA) options() (o mta.Options, err error) {
	if o.Cases, err = mta.Matching(m.cases); err != nil {
		return o, usagef(`"starttls lab list --protocol smtp" lists them`, "--case: %v", err)
	}
	if err := cmp.Or(m.checkFormat(), m.checkRun()); err != nil {
		return o, err
	}
	if o.First, err = netip.ParseAddr(m.first); err != nil || !o.First.Is4() || !o.First.IsLoopback() {
		return o, usagef("as in --listen 127.25.0.1", "--listen %q is no loopback address of IPv4", m.first)
	}
	for flag, addr := range map[string]string{"--dns": m.dns, "--resolver": m.resolver} {
		if at, err := netip.ParseAddrPort(addr); err != nil || !at.Addr().IsLoopback() {
			return o, usagef("as in "+flag+" 127.0.0.1:5353", "%s %q is no loopback address with a port", flag, addr)
		}
	}
	o.Port, o.HTTPS, o.DNS, o.Resolver = m.port, m.https, m.dns, m.resolver
	return o, nil
}

func (a *app) labMTA(ctx context.Context, m labMTA, argv []string) error {
	o, err := m.options()
	if err != nil {
		return err
	}
	command := &lab.Command{Argv: argv, Timeout: m.timeout}
	if len(argv) == 0 {
		o.OnResult = func(r lab.Result) {
			render.Line(a.out, r, !m.noColor && colorful(a.out))
			render.Evidence(a.out, r)
		}
	} else if err := command.Check(); err != nil {
		return usagef("is it installed? give its path, as in ./client", "%v", err)
	}
	if m.dir, err = outFolder(m.dir); err != nil {
		return err
	}
	command.Dir = m.dir
	l, err := mta.Open(ctx, o)
	if err != nil {
		return mtaFailed(err)
	}
	defer l.Close()
	if err := m.save(l); err != nil {
		return &exit{exitUnknown, err.Error(), ""}
	}
	if len(argv) > 0 {
		return a.labMTARun(ctx, m, l, command)
	}
	a.labMTAServed(m, l)
	<-ctx.Done()
	return nil
}

// mtaFailed says why the lab can not be served.
func mtaFailed(err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = "add --port 2525 --https 8443, and tell the sender (starttls help lab mta)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "here not all of 127.0.0.0/8 is loopback: give the addresses to it first"
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "add --listen with other addresses, as in --listen 127.26.0.1, or another --port"
	}
	return notListening(err, hint)
}

// save leaves what others need to find and to trust the lab.
func (m *labMTA) save(l *mta.Lab) error {
	files := map[string]string{"root.pem": string(l.RootPEM), mta.SignedZone + ".ds": l.Anchor() + "\n", "unbound.conf": l.Unbound(), "named.conf": l.BIND()}
	if host, port, _ := net.SplitHostPort(l.Resolver); port == "53" {
		files["resolv.conf"] = "nameserver " + host + "\noptions trust-ad\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// labMTAServed says what is where.
func (a *app) labMTAServed(m labMTA, l *mta.Lab) {
	t := tabwriter.NewWriter(a.err, 0, 0, 2, ' ', 0)
	for _, s := range l.Served() {
		fmt.Fprintf(t, "user@%s\t%s\tThe domain %s.\n", s.Domain, strings.Join(s.Addrs, ","), s.Does)
	}
	t.Flush()
	fmt.Fprintf(a.err, "\nname server: %s; as a resolver that has validated: %s\ntrust anchor: %s\nfiles: %s\n%s\ninterrupt to end\n", l.DNS, l.Resolver, l.Anchor(), m.dir, l.RootPEM)
}

func (a *app) labMTARun(ctx context.Context, m labMTA, l *mta.Lab, command *lab.Command) error {
	lines := a.out
	if m.format != "text" {
		lines = a.err
	}
	if m.quiet {
		lines = io.Discard
	}
	ca := filepath.Join(m.dir, "root.pem")
	client := func(ctx context.Context, c mta.Call) lab.Ended {
		return command.Exec(ctx, c.ID, c.ID, c.Fill(ca))
	}
	o := mta.RunOptions{Parallel: m.parallel, Wait: m.wait, Skip: func(c mta.Case) string { return lacks(command.Argv, c) }, OnResult: func(r lab.Result) {
		render.Line(lines, r, !m.noColor && colorful(lines))
		if m.evidence && r.Verdict != lab.OK {
			render.Evidence(lines, r)
		}
	}}
	rep, err := l.Run(ctx, o, client)
	rep.Client = command.Argv
	if err != nil {
		rep.Error = err.Error()
	}
	return a.labReport(m.labRun, rep)
}

// lacks says why a command can not send the message of a case.
func lacks(argv []string, c mta.Case) string {
	for word, needed := range map[string]string{"{mail}": c.Mail, "{header}": c.Header} {
		if needed != "" && !slices.ContainsFunc(argv, func(a string) bool { return strings.Contains(a, word) }) {
			return "the command has no " + word + " to be told of " + needed
		}
	}
	return ""
}
