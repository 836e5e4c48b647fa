// Command starttls speaks, tests and shows STARTTLS, for every protocol that
// has it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// The exit codes.
const (
	exitClean    = 0
	exitFindings = 1 // or: the server refused
	exitUsage    = 2 // what was typed
	exitUnknown  = 3 // what the network did
)

// exit is an error that knows its exit code. An empty message prints nothing.
type exit struct {
	code    int
	message string
	hint    string
}

func (e *exit) Error() string { return e.message }

func usagef(hint, format string, args ...any) error {
	return &exit{exitUsage, fmt.Sprintf(format, args...), hint}
}

// What to look at where a file can not be had.
const (
	readHint  = "is the path right, and may this user read it?"
	writeHint = "does the folder exist, and may this user write there?"
)

// fileError is about a file that was named, by what: a flag, or nothing for an argument.
func fileError(what, hint string, err error) error {
	var p *os.PathError
	if !errors.As(err, &p) {
		return usagef(hint, "%s: %v", what, err)
	}
	return usagef(hint, "%s: %v", strings.TrimSpace(what+" "+p.Path), p.Err)
}

// app is what the subcommands share.
type app struct {
	in       io.Reader
	out, err io.Writer
}

// run is the whole command; it returns the exit code.
func run(args []string, in io.Reader, out, stderr io.Writer) int {
	root := newRoot(&app{in, out, stderr}, subcommandsFor(args))
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitClean
	}
	var e *exit
	if !errors.As(err, &e) { // cobra's own: unknown commands and flags
		e = &exit{exitUsage, err.Error(), "starttls help shows the commands and their flags"}
		e.message, _, _ = strings.Cut(e.message, "\n")
	}
	if e.message != "" {
		fmt.Fprintf(stderr, "starttls: %s\n", e.message)
	}
	if e.hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", e.hint)
	}
	return e.code
}

// interruptible has an interrupt end a command's context, once the command has
// run for that long: to listen for signals starts threads, and costs a short
// command as much as its handshake. Until then an interrupt ends the process, and
// so does a second one.
func interruptible(after time.Duration) func(*cobra.Command, []string) {
	return func(c *cobra.Command, _ []string) {
		ctx, cancel := context.WithCancel(c.Context())
		c.SetContext(ctx)
		listen := func() {
			signals := make(chan os.Signal, 1)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			go func() {
				<-signals
				signal.Stop(signals)
				cancel()
			}()
		}
		if after == 0 {
			listen()
		} else {
			time.AfterFunc(after, listen)
		}
	}
}

// subcommand is one, and how it is made.
type subcommand struct {
	name string
	make func(*app) *cobra.Command
}

var subcommands = []subcommand{
	{"check", newCheck}, {"connect", newConnect}, {"send", newSend}, {"demo", newDemo}, {"gateway", newGateway}, {"lab", newLab},
	{"protocols", newProtocols}, {"version", newVersion},
}

// subcommandsFor is the subcommand that args name. To make the others as well
// would take time; only help, completion and mistakes need them all.
func subcommandsFor(args []string) []subcommand {
	for i, s := range subcommands {
		if len(args) > 0 && args[0] == s.name {
			return subcommands[i : i+1]
		}
	}
	return subcommands
}

func newRoot(a *app, commands []subcommand) *cobra.Command {
	root := &cobra.Command{
		Use:   "starttls",
		Short: "Speak and test STARTTLS, for every protocol that has it",
		Long: `starttls tests whether a server upgrades to TLS inside its own protocol, and
lets you talk through the upgrade.

A TARGET is SCHEME://HOST[:PORT] or HOST:PORT. The scheme is a protocol's name
("starttls protocols" lists them); with a final s it means the form that begins
with TLS: imap://, imaps://.`,
		Example: `  starttls demo
  starttls check submission://mail.example.org imaps://mail.example.org
  starttls connect imap://mail.example.org`,
		SilenceErrors: true, SilenceUsage: true, PersistentPreRun: interruptible(0),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, s := range commands {
		root.AddCommand(s.make(a))
	}
	root.SetHelpCommand(newHelp(root))
	if len(commands) > 1 {
		root.InitDefaultCompletionCmd()
	}
	root.CompletionOptions.DisableDefaultCmd = true
	for _, c := range root.Commands() {
		if !c.Runnable() { // completion: cobra helps with a shell that it does not know as if with success
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	return root
}

// newHelp is help, which takes the name of a command and nothing else.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("starttls help lists the commands", "no command is called %q", strings.Join(args, " "))
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			if c, rest, err := root.Find(args); err == nil && len(rest) == 0 {
				for _, sub := range c.Commands() {
					if sub.IsAvailableCommand() {
						names = append(names, sub.Name()+"\t"+sub.Short)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
