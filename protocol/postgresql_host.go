package protocol

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"example.org/starttls"
)

// Serve asks for a password, takes any, and answers queries: SELECT with one
// row of one column that holds 1, all others with nothing. The extended
// protocol is refused.
func (postgresql) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	params, err := pgServeStartup(w)
	if params == nil || err != nil {
		return err
	}
	sink.Tell(starttls.Leak{What: "metadata", User: pgParam(params, "user")})
	if _, err := w.Write(pgPacket('R', "\x00\x00\x00\x03")); err != nil {
		return err
	}
	kind, secret, err := readPG(w)
	if err != nil {
		return err
	}
	if kind != 'p' {
		return &starttls.ReplyError{Expected: "a password", Reply: []byte{kind}}
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PASSWORD", User: pgParam(params, "user"), Secret: bytes.TrimRight(secret, "\x00")})
	hello := pgPacket('R', "\x00\x00\x00\x00")
	for _, s := range []string{"server_version\x00" + or(h.Software, "15.0"), "server_encoding\x00UTF8", "client_encoding\x00UTF8",
		"standard_conforming_strings\x00on", "DateStyle\x00ISO, MDY", "integer_datetimes\x00on"} {
		hello = append(hello, pgPacket('S', s, "\x00")...)
	}
	if _, err := w.Write(append(hello, pgReady...)); err != nil {
		return err
	}
	return pgServeQueries(w, sink)
}

// pgReady is ReadyForQuery, outside of any transaction.
var pgReady = pgPacket('Z', "I")

// pgServeStartup reads up to the startup message. nil parameters, without an
// error, mean that the client wanted nothing but to cancel a query.
func pgServeStartup(w *starttls.Wire) (params []string, err error) {
	for {
		code, rest, err := readPGFirst(w)
		switch {
		case err != nil || code == pgCancel:
			return nil, err
		case code>>16 == 3:
			params = strings.Split(string(rest), "\x00")
			return params, pgNegotiate(w, code, params)
		case w.TLS() || code != pgSSLRequest && code != pgGSSENCRequest:
			w.Write(pgError("FATAL", "08P01", "a startup message was expected"))
			return nil, &starttls.ReplyError{Expected: "a startup message", Reply: binary.BigEndian.AppendUint32(nil, code)}
		}
		if _, err := w.Write([]byte("N")); err != nil {
			return nil, err
		}
		if err := w.Refused(); err != nil {
			return nil, err
		}
	}
}

// pgNegotiate tells a client that asks for more than version 3.0 that this is
// all there is, and which options it must do without.
func pgNegotiate(w *starttls.Wire, version uint32, params []string) error {
	var options []string
	for i := 0; i+1 < len(params); i += 2 {
		if strings.HasPrefix(params[i], "_pq_.") {
			options = append(options, params[i])
		}
	}
	if version == pgVersion3 && len(options) == 0 {
		return nil
	}
	body := binary.BigEndian.AppendUint32(nil, pgVersion3)
	body = binary.BigEndian.AppendUint32(body, uint32(len(options)))
	for _, o := range options {
		body = append(body, o+"\x00"...)
	}
	_, err := w.Write(pgPacket('v', string(body)))
	return err
}

func pgServeQueries(w *starttls.Wire, sink starttls.Sink) error {
	skipping := false // after an error in the extended protocol, up to Sync
	for {
		kind, body, err := readPG(w)
		if err != nil {
			return err
		}
		var reply []byte
		switch {
		case kind == 'X':
			return nil
		case kind == 'S':
			skipping, reply = false, pgReady
		case skipping:
		case kind == 'Q':
			sink.Tell(starttls.Leak{What: "content"})
			reply = append(pgAnswer(string(body)), pgReady...)
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			skipping, reply = true, pgError("ERROR", "0A000", "simple queries only")
		}
		if len(reply) == 0 {
			continue
		}
		if _, err := w.Write(reply); err != nil {
			return err
		}
	}
}

// pgAnswer is the answer to a query, up to ReadyForQuery.
func pgAnswer(query string) []byte {
	words := strings.Fields(strings.Trim(query, "; \r\n\t\x00"))
	switch {
	case len(words) == 0:
		return pgPacket('I') // EmptyQueryResponse
	case strings.EqualFold(words[0], "SELECT"):
		return slices.Concat(
			pgPacket('T', "\x00\x01?column?\x00", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00"),
			pgPacket('D', "\x00\x01\x00\x00\x00\x011"), pgPacket('C', "SELECT 1\x00"))
	}
	return pgPacket('C', strings.ToUpper(words[0]), "\x00")
}

// pgParam finds a parameter of a startup message, which alternates names and values.
func pgParam(params []string, name string) string {
	for i := 0; i+1 < len(params); i += 2 {
		if params[i] == name {
			return params[i+1]
		}
	}
	return ""
}
