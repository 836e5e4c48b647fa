package interop

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
)

// comparison is the page as far as it has come: it is written anew after each
// tool's word.
type comparison struct {
	sync.Mutex
	path  string
	parts []*part
}

// part is the table of one protocol.
type part struct {
	protocol string
	cells    map[string]cell // by behaviour and tool
}

type cell struct{ verdict, line string }

func (p *comparison) add(at *part, fault, tool string, c cell) error {
	p.Lock()
	defer p.Unlock()
	at.cells[fault+"/"+tool] = c
	return os.WriteFile(p.path, []byte(p.text()), 0o644)
}

const comparisonHead = `# What tools say to hostile servers

Each tool was pointed at each hostile server of ` + "`starttls demo --serve`" + ` whose fault is not in TLS itself; ` + "`make compare`" + ` does it and prints this page, of which nothing is written by hand. The tools are for different things, and a tool that was not made to look for a fault is none the worse for not naming it: s_client, gnutls-cli, swaks and curl are clients, which make one connection and can see nothing that takes an injected command to see; sslscan, nmap and testssl.sh survey versions and suites, which ` + "`check`" + ` does only with ` + "`--full`" + `, and testssl.sh can do far more than it was asked here. The servers are those that this project's own check was made to tell apart, so that it names them is no wonder.

A verdict follows from what the tool printed and how it exited:

- named: a line of its own has words for the fault (the pattern stands below), and it prints no such line of a healthy server, figures of more than one digit aside. The server's words that it repeats are not its own.
- not seen: it reached TLS and exited as with a healthy server, and named nothing.
- stops: it did not reach TLS, or exited otherwise than with a healthy server, but has no word for why.
- ok, fails: of a server that is in order, only odd: TLS was reached and the exit was as with a healthy server, or not.
- "> 20 s", of a tool that makes one connection, "> 60 s", of one that makes many, and "> 240 s", of testssl.sh: it was ended after so long, and had named nothing by then. A tool that takes longer than it may with a healthy server already is not asked further: that says how fast the machine was, and nothing of the tool.
- "-": it does not speak the protocol, or takes too long to be asked in both.

`

func (p *comparison) text() string {
	var b strings.Builder
	b.WriteString(comparisonHead)
	b.WriteString("| tool | version | what it is for |\n|---|---|---|\n")
	for _, t := range tools {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", t.name, toolVersion(t.version), t.purpose)
	}
	for _, part := range p.parts {
		fmt.Fprintf(&b, "\n## %s\n\n| the server |", part.protocol)
		for _, t := range tools {
			b.WriteString(" " + t.name + " |")
		}
		b.WriteString("\n|---" + strings.Repeat("|---", len(tools)) + "|\n")
		for _, x := range behaviours {
			if row := part.row(x); row != "" && !p.repeats(part, row) {
				b.WriteString(row)
			}
		}
		if part != p.parts[0] {
			fmt.Fprintf(&b, "\nOnly what differs from the table of %s.\n", p.parts[0].protocol)
		}
	}
	p.rules(&b)
	return b.String()
}

// row is a line of the table; "" where the behaviour was not shown.
func (p *part) row(x behaviour) string {
	row, shown := "| "+x.fault+" |", false
	for _, t := range tools {
		c, ok := p.cells[x.fault+"/"+t.name]
		shown = shown || ok
		row += " " + cmp.Or(c.verdict, "-") + " |"
	}
	if !shown {
		return ""
	}
	return row + "\n"
}

// repeats reports whether a row says the same as the first table, as far as it
// says anything.
func (p *comparison) repeats(of *part, row string) bool {
	if of == p.parts[0] {
		return false
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " |")
	for _, t := range tools {
		c, ok := of.cells[name+"/"+t.name]
		if ok && c.verdict != p.parts[0].cells[name+"/"+t.name].verdict {
			return false
		}
	}
	return true
}

// rules are how the tools were asked, the patterns, and the lines that the
// verdicts rest on.
func (p *comparison) rules(b *strings.Builder) {
	b.WriteString("\n## How they were asked\n\n")
	for _, t := range tools {
		fmt.Fprintf(b, "- %s, for at most %.0f s: `%s`; TLS was reached if it prints `%s`", t.name, t.limit.Seconds(), t.command, t.began)
		if t.quotes != nil {
			fmt.Fprintf(b, "; lines with `%s` are the server's words", t.quotes)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## What counts as naming the fault\n\n")
	for _, x := range behaviours {
		if x.names != nil {
			fmt.Fprintf(b, "- %s: `%s`\n", x.fault, x.names)
		}
	}
	b.WriteString("\n## What they said\n")
	for _, part := range p.parts {
		for _, x := range behaviours {
			var lines string
			for _, t := range tools {
				if c := part.cells[x.fault+"/"+t.name]; c.line != "" {
					lines += fmt.Sprintf("- %s, %s: `%s`\n", t.name, c.verdict, strings.ReplaceAll(c.line[:min(len(c.line), 160)], "`", "'"))
				}
			}
			if lines != "" {
				fmt.Fprintf(b, "\n%s, %s:\n\n%s", part.protocol, x.fault, lines)
			}
		}
	}
}

// toolVersion is the first line of a command's output with a figure in it.
func toolVersion(command string) string {
	versions.Lock()
	defer versions.Unlock()
	if v, ok := versions.known[command]; ok {
		return v
	}
	out, _ := exec.Command("sh", "-c", command).CombinedOutput() // what it says tells
	text := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(string(out), "")
	v := firstLine(regexp.MustCompile(`(?m)^[^0-9\n]*\n`).ReplaceAllString(text, ""))
	versions.known[command] = strings.ReplaceAll(v, "|", "")
	return versions.known[command]
}

var versions = struct {
	sync.Mutex
	known map[string]string
}{known: map[string]string{}}
