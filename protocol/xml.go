package protocol

import (
	"bytes"
	"encoding/xml"
	"strings"

	"example.org/starttls"
)

// As much of XML as XMPP's first elements take, read tag by tag so that not a
// byte behind a tag is consumed. Comments, processing instructions other than
// the declaration, and document types are errors (RFC 6120, section 11.1).

// xmlElement is an element with what is in it. Names carry their namespace.
type xmlElement struct {
	name     xml.Name
	attrs    map[string]string // by local name
	children []xmlElement
	text     string
}

// child returns the first child of that name, or nil.
func (e *xmlElement) child(space, local string) *xmlElement {
	for i := range e.children {
		if e.children[i].name == (xml.Name{Space: space, Local: local}) {
			return &e.children[i]
		}
	}
	return nil
}

// xmlReader reads elements off a wire. Its namespaces are those declared so far.
type xmlReader struct {
	w      *starttls.Wire
	spaces map[string]string // by prefix; "" is the default
	raw    []byte            // all that was read, for errors
}

func newXMLReader(w *starttls.Wire) *xmlReader {
	return &xmlReader{w: w, spaces: map[string]string{}}
}

func (x *xmlReader) malformed(expected string) error {
	return &starttls.ReplyError{Expected: expected, Reply: x.raw}
}

// tag reads up to the end of the next tag: what is before it, and it, without
// its angle brackets.
func (x *xmlReader) tag() (text, tag string, err error) {
	var b []byte
	for {
		more, err := x.w.ReadTo('>')
		if err != nil {
			return "", "", err
		}
		x.raw = append(x.raw, more...)
		if len(x.raw) > 64<<10 {
			return "", "", &starttls.LimitError{What: "bytes of XML", Limit: 64 << 10}
		}
		b = append(b, more...)
		open := bytes.IndexByte(b, '<')
		if open < 0 {
			return "", "", x.malformed("an XML tag")
		}
		inside := b[open+1 : len(b)-1]
		if !quoteOpen(inside) {
			return string(b[:open]), string(inside), nil
		}
	}
}

// quoteOpen reports whether b ends within an attribute's value, in which ">" is
// a character as any other.
func quoteOpen(b []byte) bool {
	var quote byte
	for _, c := range b {
		switch {
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote:
			quote = 0
		}
	}
	return quote != 0
}

// open reads the next start tag. end is true where an end tag came instead;
// empty, where the element has no content.
func (x *xmlReader) open() (e xmlElement, spaces map[string]string, empty, end bool, text string, err error) {
	text, tag, err := x.tag()
	if err == nil && strings.HasPrefix(tag, "?xml ") {
		var between string
		between, tag, err = x.tag()
		text += between
	}
	if err != nil {
		return
	}
	if strings.HasPrefix(tag, "/") {
		return e, nil, false, true, text, nil
	}
	if tag == "" || tag[0] == '!' || tag[0] == '?' {
		return e, nil, false, false, text, x.malformed("an XML element")
	}
	tag, empty = strings.CutSuffix(tag, "/")
	e, spaces, err = x.start(tag)
	return e, spaces, empty, false, text, err
}

// start parses a start tag's inside.
func (x *xmlReader) start(tag string) (e xmlElement, spaces map[string]string, err error) {
	name, rest, _ := strings.Cut(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		return r
	}, tag), " ")
	e.attrs = map[string]string{}
	spaces = x.spaces
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		key, value, ok := strings.Cut(rest, "=")
		value = strings.TrimSpace(value)
		if !ok || len(value) < 2 || value[0] != '\'' && value[0] != '"' {
			return e, nil, x.malformed("an XML attribute")
		}
		end := strings.IndexByte(value[1:], value[0])
		if end < 0 {
			return e, nil, x.malformed("an XML attribute")
		}
		key, rest = strings.TrimSpace(key), value[end+2:]
		value = unescapeXML(value[1 : end+1])
		if prefix, isSpace := strings.CutPrefix(key, "xmlns"); isSpace && (prefix == "" || prefix[0] == ':') {
			spaces = withSpace(spaces, strings.TrimPrefix(prefix, ":"), value)
			continue
		}
		e.attrs[key[strings.IndexByte(key, ':')+1:]] = value
	}
	prefix, local, ok := strings.Cut(name, ":")
	if !ok {
		prefix, local = "", name
	}
	e.name = xml.Name{Space: spaces[prefix], Local: local}
	if local == "" {
		return e, nil, x.malformed("an XML name")
	}
	return e, spaces, nil
}

func withSpace(spaces map[string]string, prefix, value string) map[string]string {
	out := map[string]string{prefix: value}
	for k, v := range spaces {
		if k != prefix {
			out[k] = v
		}
	}
	return out
}

var xmlEntities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&apos;", "'", "&quot;", `"`, "&amp;", "&")

func unescapeXML(s string) string { return xmlEntities.Replace(s) }

func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

// element reads the next element whole. text before it is returned too; end is
// true where the enclosing element ends instead.
func (x *xmlReader) element() (e xmlElement, text string, end bool, err error) {
	return x.elementAt(0)
}

func (x *xmlReader) elementAt(depth int) (e xmlElement, text string, end bool, err error) {
	if depth > 16 {
		return e, "", false, &starttls.LimitError{What: "depth of XML", Limit: 16}
	}
	e, spaces, empty, end, text, err := x.open()
	if err != nil || end || empty {
		return e, text, end, err
	}
	outer := x.spaces
	x.spaces = spaces
	defer func() { x.spaces = outer }()
	for {
		child, between, closed, err := x.elementAt(depth + 1)
		if err != nil {
			return e, text, false, err
		}
		e.text += unescapeXML(between)
		if closed {
			return e, text, false, nil
		}
		e.children = append(e.children, child)
	}
}
