package protocol

import (
	"bytes"
	"fmt"

	"example.org/starttls"
)

// xmppSplice reads a server's stream, tag by tag.
type xmppSplice struct {
	held     []byte // the beginning of a tag
	scanned  int    // of it, for its end
	quote    byte   // that is open there
	out      []byte
	depth    int  // of elements
	features bool // in those of the stream
	drop     bool // in <starttls/>
	seen     int  // features
	raw      bool // nothing more is looked at
}

// Splice takes <starttls/> out of the features of a stream, before and after the
// sign-in, and out of nothing else. A client in clear has opened its stream: the
// backend's is opened for it.
func (p xmpp) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	f := &xmppSplice{}
	if !s.Client.TLS() && s.Outcome.Peer != "" {
		if err := p.reopen(s); err != nil {
			return nil, nil, err
		}
		f.depth, f.seen = 1, 1
	}
	return nil, f.filter, nil
}

// reopen opens a stream on the backend, whose header and features the client has
// had from the gateway.
func (p xmpp) reopen(s *starttls.Splice) error {
	if _, err := fmt.Fprintf(s.Backend, "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='%s' xmlns:stream='%s'>",
		escapeXML(s.Outcome.Peer), p.namespace, nsStreams); err != nil {
		return err
	}
	x := &xmlReader{w: s.Backend}
	if kind, _, err := x.next(); err != nil || kind != xmlHeader {
		return cmpErr(err, x.malformed("a stream header"))
	}
	kind, e, err := x.next()
	if err == nil && (kind != xmlChild || !e.is(nsStreams, "features")) {
		err = x.malformed("stream features")
	}
	return err
}

func (f *xmppSplice) filter(b []byte) ([]byte, error) {
	if f.raw {
		return b, nil
	}
	f.out = nil
	grown := len(f.held) > 0 // b is ours to keep
	if grown {
		b = append(f.held, b...)
		f.held = nil
	}
	for len(b) > 0 && !f.raw {
		open := bytes.IndexByte(b, '<')
		if open < 0 {
			open = len(b)
		}
		f.keep(b[:open])
		if b = b[open:]; len(b) == 0 {
			break
		}
		end := f.tagEnd(b)
		if end < 0 {
			if len(b) > xmlSize {
				return nil, &starttls.LimitError{What: "bytes of an XML tag", Limit: xmlSize}
			}
			f.held = b
			if !grown {
				f.held = bytes.Clone(b)
			}
			return f.out, nil
		}
		grown = false
		f.tag(b[:end])
		b = b[end:]
	}
	return append(f.out, b...), nil
}

func (f *xmppSplice) keep(b []byte) {
	if !f.drop {
		f.out = append(f.out, b...)
	}
}

// tagEnd is how long the tag is that b begins with; -1 if b ends before it. What
// was looked at once is not looked at again when more has come.
func (f *xmppSplice) tagEnd(b []byte) int {
	for i := f.scanned; i < len(b); i++ {
		switch c := b[i]; {
		case f.quote == 0 && c == '>':
			f.scanned = 0
			return i + 1
		case f.quote == 0 && (c == '\'' || c == '"'):
			f.quote = c
		case c == f.quote:
			f.quote = 0
		}
	}
	f.scanned = len(b)
	return -1
}

func (f *xmppSplice) tag(t []byte) {
	name := localName(t)
	closes, alone := len(t) > 1 && t[1] == '/', len(t) > 1 && t[len(t)-2] == '/'
	switch {
	case len(t) > 1 && (t[1] == '?' || t[1] == '!'):
		f.keep(t)
		return
	case !closes && f.depth <= 1 && name == "stream": // opens it, or opens it anew after the sign-in
		f.keep(t)
		f.depth = 1
		return
	case closes:
		f.depth--
	case f.depth == 1 && name == "features":
		f.features = true
	case f.depth == 1 && name == "compressed": // from here on nothing can be read (XEP-0138)
		f.raw = true
	case f.depth == 2 && f.features && name == "starttls":
		f.drop = true
	}
	f.keep(t)
	if !closes && !alone {
		f.depth++
	}
	if f.depth <= 2 {
		f.drop = false
	}
	if f.depth <= 1 && f.features {
		f.features = false
		f.seen++
		f.raw = f.raw || f.seen >= 2
	}
}

// Unavailable opens a stream to end it (RFC 6120, section 4.9.1.1).
func (p xmpp) Unavailable() []byte {
	return []byte("<?xml version='1.0'?><stream:stream version='1.0' xmlns='" + p.namespace + "' xmlns:stream='" + nsStreams + "'>" +
		"<stream:error><remote-connection-failed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
}
