package protocol

import (
	"bytes"
	"encoding/xml"
	"strings"

	"example.org/starttls"
)

// As much of XML as XMPP's streams take. The bytes are taken off the wire tag by
// tag, so that not one behind a tag is consumed, and what they make up is then
// given to encoding/xml, which would read ahead. Comments, CDATA, processing
// instructions and document types are errors (RFC 6120, section 11.1), but for
// the declaration before a stream.

const (
	xmlDepth = 16       // of elements in one another
	xmlSize  = 64 << 10 // bytes of one element
)

// xmlElement is an element with what is in it.
type xmlElement struct {
	XMLName  xml.Name
	Attrs    []xml.Attr   `xml:",any,attr"`
	Children []xmlElement `xml:",any"`
	Text     string       `xml:",chardata"`
}

func (e *xmlElement) is(space, local string) bool {
	return e.XMLName == xml.Name{Space: space, Local: local}
}

// child returns the first child of that name, or nil.
func (e *xmlElement) child(space, local string) *xmlElement {
	for i := range e.Children {
		if e.Children[i].is(space, local) {
			return &e.Children[i]
		}
	}
	return nil
}

// attr returns the value of an attribute without a prefix, or "".
func (e *xmlElement) attr(local string) string {
	for _, a := range e.Attrs {
		if a.Name == (xml.Name{Local: local}) {
			return a.Value
		}
	}
	return ""
}

// xmlKind is what stands at the level of the stream itself.
type xmlKind int

const (
	xmlHeader xmlKind = iota // the stream's start tag
	xmlChild                 // an element, whole
	xmlEnd                   // the stream's end tag
)

// xmlReader reads a stream off a wire.
type xmlReader struct {
	w       *starttls.Wire
	decoder *xml.Decoder // of the stream, whose namespaces hold; nil before its header
	fed     bytes.Buffer // what the decoder has yet to read
	raw     []byte       // what next read, with the white space before it
}

// next reads what comes next at the level of the stream. A start tag called
// "stream" there opens a new stream, as SASL demands after a sign-in.
func (x *xmlReader) next() (kind xmlKind, e xmlElement, err error) {
	x.raw = nil
	if x.decoder == nil { // who speaks another protocol is told by the first byte, not by the time limit
		b, err := x.w.Peek(1)
		if err != nil {
			return 0, e, err
		}
		if !isBlank(b) && b[0] != '<' {
			x.raw = x.w.Ahead()
			return 0, e, x.malformed("an XML stream")
		}
	}
	declared := false
	for depth := 0; ; {
		text, tag, err := x.tag()
		if err != nil {
			return 0, e, err
		}
		switch opening := depth == 0 && localName(tag) == "stream"; {
		case depth == 0 && !isBlank(text), len(tag) < 3, declared && !opening:
			return 0, e, x.malformed("XML")
		case depth == 0 && bytes.HasPrefix(tag, []byte("<?xml ")):
			declared = true
			continue
		case tag[1] == '!' || tag[1] == '?':
			return 0, e, x.malformed("an XML element")
		case opening:
			x.decoder = nil
			return x.parse(xmlHeader)
		case tag[1] == '/':
			depth--
		case tag[len(tag)-2] != '/':
			depth++
		}
		if depth > xmlDepth {
			return 0, e, &starttls.LimitError{What: "depth of XML", Limit: xmlDepth}
		}
		if depth == 0 {
			return x.parse(xmlChild)
		}
		if depth < 0 {
			return x.parse(xmlEnd)
		}
	}
}

// tag reads up to the end of the next tag, and returns what is before it and it.
func (x *xmlReader) tag() (text, tag []byte, err error) {
	start := len(x.raw)
	for {
		more, err := x.w.ReadTo('>')
		if err != nil {
			return nil, nil, err
		}
		if x.raw = append(x.raw, more...); len(x.raw) > xmlSize {
			return nil, nil, &starttls.LimitError{What: "bytes of XML", Limit: xmlSize}
		}
		b := x.raw[start:]
		if open := bytes.IndexByte(b, '<'); open >= 0 && !quoteOpen(b[open:]) {
			return b[:open], b[open:], nil
		}
	}
}

// quoteOpen reports whether b, from a tag's start on, ends within an attribute's
// value, in which ">" is a character as any other.
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

// localName is a start tag's name without its prefix.
func localName(tag []byte) string {
	name := bytes.TrimPrefix(tag, []byte("<"))
	if i := bytes.IndexAny(name, " \t\r\n/>"); i >= 0 {
		name = name[:i]
	}
	return string(name[bytes.IndexByte(name, ':')+1:])
}

// within makes x read on in a stream with that header.
func (x *xmlReader) within(header string) {
	x.raw = []byte(header)
	x.parse(xmlHeader)
}

// parse takes apart x.raw, which is of that kind.
func (x *xmlReader) parse(kind xmlKind) (xmlKind, xmlElement, error) {
	if x.decoder == nil {
		x.fed.Reset()
		x.decoder = xml.NewDecoder(&x.fed)
	}
	x.fed.Write(x.raw)
	for {
		t, err := x.decoder.Token()
		if err != nil {
			return 0, xmlElement{}, x.malformed("well-formed XML")
		}
		switch t := t.(type) {
		case xml.EndElement:
			return xmlEnd, xmlElement{}, nil
		case xml.StartElement:
			if kind == xmlHeader && t.Name.Local == "stream" { // and not ":stream"
				return kind, xmlElement{XMLName: t.Name, Attrs: t.Attr}, nil
			}
			var e xmlElement
			if x.decoder.DecodeElement(&e, &t) != nil {
				return 0, e, x.malformed("well-formed XML")
			}
			return kind, e, nil
		}
	}
}

// malformed is the error for what was read last. A client's bytes may hold a
// secret and are left out.
func (x *xmlReader) malformed(expected string) error {
	reply := x.raw
	if x.w.Side() == starttls.ServerSide {
		reply = []byte("(not shown)")
	}
	return &starttls.ReplyError{Expected: expected, Reply: reply}
}

// skipBlanks reads the white space that came by now, and no more.
func (x *xmlReader) skipBlanks() error {
	ahead := x.w.Ahead()
	n := len(ahead) - len(bytes.TrimLeft(ahead, xmlBlanks))
	if n == 0 {
		return nil
	}
	_, err := x.w.ReadN(n)
	return err
}

const xmlBlanks = " \t\r\n"

func isBlank(b []byte) bool { return len(bytes.Trim(b, xmlBlanks)) == 0 }

func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}
