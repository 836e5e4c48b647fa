package check

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
	"example.org/starttls/internal/reflection"
)

// change is something that the path has done to a connection.
type change struct {
	id       string // of the finding
	variant  string
	detail   string
	evidence []string
}

// comparison holds our end of a connection against the reflector's.
type comparison struct {
	x     attempt
	there *reflection.Connection // nil: none arrived
	keyID string                 // of the reflector's certificate
	text  bool

	evidence []string
	changes  []change
}

func (p *comparison) note(id, detail string) {
	p.changes = append(p.changes, change{id: id, detail: detail})
}

// compare says what became of the connection. Each change of it has the whole
// evidence.
func (p *comparison) compare() Passage {
	out := Passage{ToServer: lost, ToClient: lost}
	if p.there == nil {
		p.nobodyThere()
	} else {
		out.ToServer = p.direction(starttls.ClientSide, p.x.went, p.there.Came)
		out.ToClient = p.direction(starttls.ServerSide, p.there.Went, p.x.came)
		p.handshake()
		if out.ToServer == changed || out.ToClient == changed {
			p.ending()
		}
		if p.there.Ended != "" && len(p.changes) > 0 {
			p.evidence = append(p.evidence, "the reflector's end, to "+p.there.From+": "+starttls.Escape(p.there.Ended))
		}
	}
	if p.x.err != nil && len(p.changes) > 0 {
		p.evidence = append(p.evidence, "our end: "+starttls.Escape(p.x.err.Error()))
	}
	for i := range p.changes {
		p.changes[i].evidence = p.evidence
	}
	out.Evidence = append([]string{}, p.evidence...)
	return out
}

// nobodyThere judges a connection of which nothing arrived.
func (p *comparison) nobodyThere() {
	if came := slices.Concat(p.x.came.Clear, p.x.came.TLS); len(came) > 0 {
		p.note("path-intercepts", "no connection arrived at the reflector, and somebody answers: "+starttls.Quote(came[:min(len(came), 80)]))
		return
	}
	p.note("path-drops", "no connection arrived at the reflector")
}

// direction compares what was sent with what arrived, one way.
func (p *comparison) direction(from starttls.Side, sent, arrived reflection.Stream) string {
	if from == starttls.ServerSide && !p.tlsCame() { // what stands in the place of TLS was said in clear
		arrived = reflection.Stream{Clear: slices.Concat(arrived.Clear, arrived.TLS)}
	}
	if extra, ok := bytes.CutPrefix(arrived.Clear, sent.Clear); ok && len(arrived.TLS) == 0 && bytes.HasPrefix(sent.TLS, extra) {
		arrived = reflection.Stream{Clear: sent.Clear, TLS: extra} // the other end was not ready for TLS
	}
	found := hunks(p.pieces(sent.Clear), p.pieces(arrived.Clear))
	for _, h := range found {
		p.hunk(from, h)
	}
	due := len(sent.TLS) // that must have arrived; who leaves first does not read all
	if from == starttls.ClientSide {
		due = len(p.x.hello)
	}
	if p.there.Closed || from == starttls.ServerSide && !ended(p.x.err) {
		due = min(due, len(arrived.TLS))
	}
	if len(found) > 0 || !bytes.HasPrefix(arrived.TLS, sent.TLS[:due]) {
		return changed
	}
	return unchanged
}

// tlsCame reports whether what came behind our ClientHello is TLS, or in packets
// like ours.
func (p *comparison) tlsCame() bool {
	came := p.x.came.TLS
	return len(came) == 0 || came[0] >= 0x14 && came[0] <= 0x17 || len(p.x.hello) > 0 && came[0] == p.x.hello[0]
}

// mostPieces bounds what a comparison costs; mostShown is how many of one place
// are shown as evidence.
const (
	mostPieces = 300
	mostShown  = 12
)

// pieces cuts what was said in clear into lines, where it has some.
func (p *comparison) pieces(b []byte) []string {
	if p.text {
		return slices.DeleteFunc(strings.SplitAfterN(string(b), "\n", mostPieces), func(s string) bool { return s == "" })
	}
	if len(b) == 0 {
		return nil
	}
	return []string{string(b)}
}

// hunk is a place where less, more or something else arrived than was sent.
type hunk struct {
	sent, arrived []string
	last          bool // nothing more arrived behind it
}

// hunk judges one.
func (p *comparison) hunk(from starttls.Side, h hunk) {
	mark := map[starttls.Side]string{starttls.ClientSide: "C", starttls.ServerSide: "S"}[from]
	for _, s := range h.sent[:min(len(h.sent), mostShown)] {
		p.evidence = append(p.evidence, mark+": sent    "+shorten(s))
	}
	for _, s := range h.arrived[:min(len(h.arrived), mostShown)] {
		p.evidence = append(p.evidence, mark+": arrived "+shorten(s))
	}
	what := map[starttls.Side]string{starttls.ClientSide: "a command", starttls.ServerSide: "an answer"}[from]
	sent, arrived := strings.Join(h.sent, ""), strings.Join(h.arrived, "")
	switch {
	case slices.ContainsFunc(h.arrived, func(s string) bool { return overwritten(s, h.sent) }):
		p.note("path-masks", "of "+quoteShort(sent)+" arrives "+quoteShort(arrived))
	case from == starttls.ServerSide && p.refused(arrived):
		p.note("path-refuses", "in the place of "+quoteShort(sent)+" arrives "+quoteShort(arrived))
	case h.last && strings.HasPrefix(sent, arrived) && ended(p.x.err): // see ending
	case from == starttls.ServerSide && p.stripped() && len(h.sent) > 0:
		p.note("path-strips", "of "+quoteShort(sent)+" arrives "+quoteShort(arrived))
	case strings.HasPrefix(arrived, sent):
		p.note("path-injects", what+" arrives that was not sent: "+quoteShort(strings.TrimPrefix(arrived, sent)))
	case len(h.arrived) == 0:
		p.note("path-rewrites", what+" is left out: "+quoteShort(sent))
	default:
		p.note("path-rewrites", "of "+quoteShort(sent)+" arrives "+quoteShort(arrived))
	}
}

// stripped reports whether TLS was not offered as we heard it.
func (p *comparison) stripped() bool {
	return errors.Is(p.x.err, starttls.ErrNotOffered) || p.x.asked && !p.x.offered
}

// refused reports whether the refusal that ended our attempt is in what arrived.
func (p *comparison) refused(arrived string) bool {
	var refused *starttls.RefusedError
	return errors.As(p.x.err, &refused) && strings.Contains(arrived, strings.TrimRight(string(refused.Reply), "\r\n"))
}

// overwritten reports whether a line of what was sent arrives as s, of the same
// length and with a run of one letter in it that was not there.
func overwritten(s string, sent []string) bool {
	run := longestRun(s)
	return slices.ContainsFunc(sent, func(line string) bool {
		return len(run) > 3 && len(line) == len(s) && !strings.Contains(line, run)
	})
}

// longestRun is the longest run of the letters that are written over others.
func longestRun(s string) (run string) {
	for i := 0; i < len(s); {
		n := 1
		for i+n < len(s) && s[i+n] == s[i] {
			n++
		}
		if n > len(run) && strings.ContainsRune("X*#", rune(s[i])) {
			run = s[i : i+n]
		}
		i += n
	}
	return run
}

// handshake compares how TLS began, and with whom it is held.
func (p *comparison) handshake() {
	hello, came := p.x.hello, p.there.Came.TLS
	if certs := p.x.tls.PeerCertificates; len(certs) > 0 && !keyIs(certs[0], p.keyID) {
		p.note("path-intercepts", "TLS is held with the key "+reflection.KeyID(certs[0])[:16]+"..., of "+starttls.Escape(certs[0].Subject.String())+", from "+starttls.Escape(certs[0].Issuer.String())+"; the reflector's is "+p.keyID[:min(16, len(p.keyID))]+"...")
	}
	switch {
	case len(hello) == 0 || len(came) == 0 || bytes.HasPrefix(came, hello):
	case slices.Equal(reflection.Random(hello), reflection.Random(came)):
		at := 0
		for at < len(came) && came[at] == hello[at] {
			at++
		}
		p.note("path-changes-hello", fmt.Sprintf("the ClientHello is another from its byte %d on, of %d that were sent", at, len(hello)))
	default:
		p.note("path-changes-hello", "the ClientHello that arrives is not ours: somebody holds TLS with the reflector in our place")
	}
	if len(hello) > 0 && p.x.err != nil && !ended(p.x.err) && p.tlsCame() && !bytes.HasPrefix(p.there.Went.TLS, p.x.came.TLS) {
		p.note("path-refuses", "the answer to the ClientHello is not the reflector's: "+p.x.err.Error())
	}
}

// ending looks who ended a connection that came to no TLS.
func (p *comparison) ending() {
	if !ended(p.x.err) || p.there.Closed {
		return
	}
	stage := "before TLS was asked for"
	if len(p.x.hello) > 0 {
		stage = "in the handshake"
	} else if p.x.asked {
		stage = "when TLS was asked for"
	}
	p.note("path-drops", stage+" the connection ended or fell silent, and the reflector had not ended it")
}

// ended reports whether err is the end of a connection, or silence.
func ended(err error) bool {
	return closed(err) || timeout(err)
}

// hunks are those between two lists, by their longest common list.
func hunks(sent, arrived []string) (out []hunk) {
	common := make([][]int, len(sent)+1) // length of the longest one of sent[i:] and arrived[j:]
	for i := range common {
		common[i] = make([]int, len(arrived)+1)
	}
	for i := len(sent) - 1; i >= 0; i-- {
		for j := len(arrived) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); sent[i] == arrived[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(sent) || j < len(arrived) {
		var h hunk
		for i < len(sent) && (j == len(arrived) || common[i+1][j] == common[i][j]) {
			h.sent = append(h.sent, sent[i])
			i++
		}
		for j < len(arrived) && (i == len(sent) || sent[i] != arrived[j]) {
			h.arrived = append(h.arrived, arrived[j])
			j++
		}
		if h.last = j == len(arrived); len(h.sent)+len(h.arrived) > 0 {
			out = append(out, h)
			continue
		}
		i, j = i+1, j+1
	}
	return out
}

// shorten makes a piece fit for one line of evidence.
func shorten(s string) string {
	return starttls.Escape(strings.TrimRight(s[:min(len(s), 200)], "\r\n"))
}

func quoteShort(s string) string {
	if s == "" {
		return "nothing"
	}
	return starttls.Quote([]byte(strings.TrimRight(s[:min(len(s), 120)], "\r\n")))
}
