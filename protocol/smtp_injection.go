package protocol

import (
	"bytes"

	"example.org/starttls"
)

// Injection: EHLO is answered by 250 alone, the unknown command by 5xx.
func (p smtp) Injection(_, marker string) starttls.Injection {
	return starttls.Injection{
		Probe:   []byte(p.hello() + " " + marker + ".invalid\r\n"),
		Control: []byte("XPRB\r\n"),
		Classify: classifyLines(func(line string, r *starttls.Reply) {
			code, sep, _, ok := splitCode(line)
			r.Probe = r.Probe || ok && code == 250
			r.Control = r.Control || ok && code/100 == 5 && sep != '-'
		}),
	}
}

// classifyLines makes a Classify that looks at one whole line at a time.
func classifyLines(each func(line string, r *starttls.Reply)) func([]byte) starttls.Reply {
	return func(said []byte) (r starttls.Reply) {
		for {
			line, rest, whole := bytes.Cut(said, []byte("\n"))
			if !whole {
				return r
			}
			each(string(bytes.TrimSuffix(line, []byte("\r"))), &r)
			said = rest
		}
	}
}
