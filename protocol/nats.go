package protocol

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"example.org/starttls"
)

// NATS is the messaging system's client protocol. The server's INFO tells
// whether there is TLS; a client that takes it begins the handshake at once,
// with no request and no answer. Handshake-first (tls://) is its implicit form,
// on the same port.
var NATS = register(nats{})

type nats struct{}

func (nats) Info() starttls.Info {
	return starttls.Info{
		Name: "nats", Port: 4222, Title: "NATS, messages", Reference: "NATS client protocol, INFO", ServerFirst: true, EagerClient: true, BoundGreeting: true,
		Greeting: "INFO {\"max_payload\":1048576}\r\n",
	}
}

// natsInfo is what is of interest in INFO.
type natsInfo struct {
	Version      string `json:"version"`
	TLSRequired  bool   `json:"tls_required"`
	TLSAvailable bool   `json:"tls_available"`
	AuthRequired bool   `json:"auth_required"`
	Nonce        string `json:"nonce"`
	ClientIP     string `json:"client_ip"`
}

func (nats) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	line, err := w.ReadLine()
	if err != nil {
		return h, err
	}
	h.Greeting = []byte(line + "\r\n")
	name, arg := verb(line)
	if name == "-ERR" {
		return h, &starttls.RefusedError{Reply: h.Greeting, Temporary: true}
	}
	var info natsInfo
	if name != "INFO" || json.Unmarshal([]byte(arg), &info) != nil {
		return h, &starttls.ReplyError{Expected: "INFO", Reply: h.Greeting}
	}
	h.Software, h.ClientSeen = info.Version, info.ClientIP
	h.Offered, h.Required = info.TLSRequired || info.TLSAvailable, info.TLSRequired
	for _, c := range []struct {
		name string
		has  bool
	}{{"tls_required", info.TLSRequired}, {"tls_available", info.TLSAvailable}, {"auth_required", info.AuthRequired}} {
		if c.has {
			h.Caps = append(h.Caps, c.name)
		}
	}
	if info.AuthRequired {
		h.Auth = []string{"CONNECT"}
	}
	if info.Nonce != "" {
		h.Auth = append(h.Auth, "NKEY")
	}
	if ask == starttls.NoAsk {
		return h, nil
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	return h, w.Ask(nil)
}

// Probe connects without signing in and reads whether the server would have it.
func (nats) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	connect := `CONNECT {"verbose":false,"pedantic":false,"tls_required":` + strconv.FormatBool(w.TLS()) + `,"lang":"go","version":"0","name":"starttls"}`
	if err := w.WriteLine(connect + "\r\nPING"); err != nil {
		return h, err
	}
	for {
		line, err := w.ReadLine()
		if err != nil {
			return h, err
		}
		switch name, arg := verb(line); name {
		case "PONG":
			return h, nil
		case "-ERR":
			h.Caps, h.Auth = []string{"error: " + strings.Trim(arg, "'")}, []string{"CONNECT"}
			return h, nil
		case "INFO", "+OK", "PING":
		default:
			return h, &starttls.ReplyError{Expected: "PONG", Reply: []byte(line)}
		}
	}
}

// Server says INFO and looks what the client begins: a handshake, or a session
// in clear.
func (p nats) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if _, err := w.Write(natsGreeting(w, h, offer)); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	first, err := w.Peek(1)
	if err != nil {
		return out, err
	}
	request := first[0] == 0x16 // a TLS record
	switch {
	case request && (offer.Mode == starttls.Grant || offer.Mode == starttls.Optional):
		out.TLS = true
		return out, w.GoAhead(offer.Reply) // nothing, but in a test of clients: TLS itself is the go-ahead
	case !request && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional):
		return out, nil
	}
	reply := "-ERR 'Unknown Protocol Operation'"
	if !request {
		if line, err := w.ReadLine(); err != nil {
			return out, err
		} else if isHTTP(line) {
			return out, &starttls.ReplyError{Expected: "a ClientHello", Reply: []byte(line)}
		}
		reply = "-ERR 'Secure Connection - TLS Required'"
	}
	return out, cmpErr(w.WriteLine(override(offer, reply)), starttls.ErrNotUpgraded)
}

// natsGreeting is INFO, whosever it is, with TLS offered or not.
func natsGreeting(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) []byte {
	info := map[string]any{"server_id": "STARTTLS", "version": or(h.Software, "2.0.0"), "host": w.ServerName(), "port": 4222, "proto": 1, "headers": true, "max_payload": 1 << 16}
	if _, given, ok := bytes.Cut(h.Greeting, []byte(" ")); ok {
		var theirs map[string]any
		d := json.NewDecoder(bytes.NewReader(given))
		d.UseNumber()
		if d.Decode(&theirs) == nil && theirs != nil {
			info = theirs
		}
	}
	delete(info, "tls_required")
	delete(info, "tls_available")
	if offers(offer) {
		info[or(offer.Keyword, "tls_available")] = true
		if offer.Mode != starttls.Optional && offer.Keyword == "" {
			info["tls_required"] = true
		}
	}
	b, _ := json.Marshal(info) // what came from JSON, or is made of constants
	return append(append([]byte("INFO "), b...), "\r\n"...)
}

// Serve takes any sign-in and drops what is published.
func (nats) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		reply := ""
		switch name, arg := verb(line); name {
		case "CONNECT":
			reply = natsConnect(arg, sink)
		case "PING":
			reply = "PONG"
		case "PUB", "HPUB":
			words := strings.Fields(arg)
			n := -1
			if len(words) > 0 {
				if n, err = strconv.Atoi(words[len(words)-1]); err != nil {
					n = -1
				}
			}
			if n < 0 {
				return cmpErr(w.WriteLine("-ERR 'Parser Error'"), &starttls.ReplyError{Expected: "a length", Reply: []byte(line)})
			}
			if _, err := w.ReadN(n + 2); err != nil { // and its CRLF
				return err
			}
			sink.Tell(starttls.Leak{What: "content"})
		case "SUB", "UNSUB":
			sink.Tell(starttls.Leak{What: "metadata"})
		case "PONG", "":
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = "-ERR 'Unknown Protocol Operation'"
		}
		if reply == "" {
			continue
		}
		if err := w.WriteLine(reply); err != nil {
			return err
		}
	}
}

// natsConnect reads CONNECT's options; they hold the sign-in.
func natsConnect(arg string, sink starttls.Sink) (reply string) {
	var c struct {
		Verbose bool   `json:"verbose"`
		User    string `json:"user"`
		Pass    string `json:"pass"`
		Token   string `json:"auth_token"`
		NKey    string `json:"nkey"`
	}
	if json.Unmarshal([]byte(arg), &c) != nil {
		return "-ERR 'Parser Error'"
	}
	switch {
	case c.User != "":
		sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "CONNECT", User: c.User, Secret: []byte(c.Pass)})
	case c.Token != "":
		sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "TOKEN", Secret: []byte(c.Token)})
	case c.NKey != "":
		sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "NKEY", User: c.NKey})
	}
	if c.Verbose {
		return "+OK"
	}
	return ""
}

// Injection: PING is answered by PONG, or refused where one must sign in, or be
// inside TLS, first. An operation that begins as CONNECT does and is none is
// unknown to all.
func (nats) Injection(_, _ string) starttls.Injection {
	return starttls.Injection{
		Probe:    []byte("PING\r\n"),
		Control:  []byte("CPRB\r\n"),
		Classify: classifyHolds("'Unknown Protocol Operation'", "PONG\r\n", "'Authorization Violation'", "'Secure Connection - TLS Required'"),
	}
}
