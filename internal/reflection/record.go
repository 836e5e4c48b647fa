package reflection

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Schema names the form of an Answer.
const Schema = "starttls.reflect/1"

// Service is one that a reflector serves.
type Service struct {
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
	KeyID    string `json:"key"` // of its certificate
}

// Connection is the reflector's end of one connection.
type Connection struct {
	Number int64  `json:"number"`
	From   string `json:"from"` // the client's address, as it is seen there
	Came   Stream `json:"came"`
	Went   Stream `json:"went"`
	Closed bool   `json:"closed"` // by the reflector itself, for what it was told
	Ended  string `json:"ended"`  // why, in words; "" while it goes on
}

// Question asks for the connections of a service behind that of a number. They
// are told once they have ended, or Patience is over. A negative number asks for
// none: Answer.Last is where to begin.
type Question struct {
	Protocol string `json:"protocol"`
	After    int64  `json:"after"`
}

// Answer is the answer to it.
type Answer struct {
	Schema      string       `json:"schema"`
	Services    []Service    `json:"services"`
	Last        int64        `json:"last"`        // number of the connection that came last
	Connections []Connection `json:"connections"` // in the order they came, MostTold at most
}

// Patience is how long an answer waits for connections to come and to end.
const Patience = 2 * time.Second

// MostTold is how many connections one answer tells of.
const MostTold = 16

// The longest question and answer, in bytes, and how long the other end may take
// for the handshake, or to ask again.
const (
	mostQuestion = 1 << 10
	mostAnswer   = 4 << 20
	shakeTime    = 10 * time.Second
	idleTime     = 2 * time.Minute
)

// Serve answers the questions that come over nc, and closes it.
func Serve(ctx context.Context, nc net.Conn, k Key, answer func(context.Context, Question) Answer) error {
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	cfg, err := k.config()
	if err != nil {
		return err
	}
	nc.SetDeadline(time.Now().Add(shakeTime))
	tc := tls.Server(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	r := bufio.NewReaderSize(tc, mostQuestion)
	for {
		tc.SetDeadline(time.Now().Add(idleTime))
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		var q Question
		if err := json.Unmarshal(line, &q); err != nil {
			return err
		}
		if err := json.NewEncoder(tc).Encode(answer(ctx, q)); err != nil {
			return err
		}
	}
}

// Client asks a reflector. It is for one goroutine.
type Client struct {
	conn *tls.Conn
	r    *bufio.Scanner
}

// Dial reaches the report port of a reflector, by open, and makes sure that both
// have the same key.
func Dial(ctx context.Context, open func(ctx context.Context, network, addr string) (net.Conn, error), addr string, k Key) (*Client, error) {
	cfg, err := k.config()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, shakeTime)
	defer cancel()
	nc, err := open(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	c := &Client{tc, bufio.NewScanner(tc)}
	c.r.Buffer(nil, mostAnswer)
	return c, nil
}

// Close ends it.
func (c *Client) Close() { c.conn.Close() }

// Ask asks one question.
func (c *Client) Ask(ctx context.Context, q Question) (a Answer, err error) {
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })()
	c.conn.SetDeadline(time.Now().Add(Patience + shakeTime))
	if err := json.NewEncoder(c.conn).Encode(q); err != nil {
		return a, err
	}
	if !c.r.Scan() {
		if err := c.r.Err(); err != nil {
			return a, err
		}
		return a, errors.New("the reflector closed the connection")
	}
	if err := json.Unmarshal(c.r.Bytes(), &a); err != nil {
		return a, err
	}
	if a.Schema != Schema {
		return a, fmt.Errorf("the reflector answers in the form %q, not %q", a.Schema, Schema)
	}
	return a, nil
}

// randomAt is where the random of a ClientHello stands behind the head of its
// record (RFC 8446, sections 5.1 and 4.1.2).
const randomAt = 5 + 4 + 2

// Random finds the random of the ClientHello at the beginning of b, which may
// stand in a packet of the protocol's own; nil if there is none.
func Random(b []byte) []byte {
	at := bytes.Index(b[:min(len(b), 16)], []byte{0x16, 3})
	if at < 0 || len(b) < at+randomAt+32 {
		return nil
	}
	return b[at+randomAt:][:32]
}
