package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync/atomic"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"

	"github.com/spf13/cobra"
)

func newConnect(a *app) *cobra.Command {
	var s sessionFlags
	var clear, raw, showCerts bool
	var chain, after string
	c := &cobra.Command{
		Use:   "connect TARGET",
		Short: "Talk to a server inside TLS",
		Long: `connect upgrades a connection to TLS and joins the session to standard input and
output. What was negotiated goes to standard error. No key is a command: what
you type goes to the server. In protocols made of lines, LF becomes CRLF.

At the end of the input, once the server has been quiet for half a second, that
end is passed on to it, and what it still says is shown until it closes.`,
		Example: `  starttls connect imap://mail.example.org
  printf 'EHLO me\nQUIT\n' | starttls connect smtp://mx.example.org
  starttls connect --auth plain --user me imap://mail.example.org
  starttls connect --clear --upgrade-after '^OK' nut://ups.example.org:3493`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("as in: starttls connect imap://mail.example.org", "connect needs a target")
			}
			by, err := regexp.Compile(after)
			if err != nil {
				return usagef("it is RE2's syntax, as in --upgrade-after '^220 '", "--upgrade-after: %v", err)
			}
			t, err := s.target(args[0])
			if err != nil && after != "" {
				t, err = plainTarget(args[0])
			}
			if err != nil {
				return err
			}
			if err := s.prepare(); err != nil {
				return err
			}
			sasl, err := s.client(a)
			if err != nil {
				return err
			}
			if sasl != nil && (clear || after != "") {
				return usagef("leave one of them out", "--auth signs in only inside TLS that --clear and --upgrade-after do not give")
			}
			if after != "" {
				return a.connectByHand(c.Context(), &s, t, by)
			}
			conn, err := s.open(c.Context(), t, clear)
			if err != nil {
				return err
			}
			defer conn.Close()
			a.describe(conn, t)
			if showCerts && conn.TLS() != nil {
				a.showCertificates(conn.TLS().ConnectionState().PeerCertificates)
			}
			if chain != "" {
				if err := saveChain(conn, chain); err != nil {
					return err
				}
			}
			if sasl != nil {
				if err := authenticate(c.Context(), conn, sasl); err != nil {
					return signInFailed(err)
				}
				fmt.Fprintf(a.err, "signed in as %s\n", s.user)
			}
			if clear {
				a.out.Write(conn.Before().Greeting) // the session has begun with it
			}
			info := t.Protocol.Info()
			return a.talk(c.Context(), conn, conn.CloseWrite, !raw && !info.LF && !info.Binary)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.BoolVar(&clear, "clear", false, "talk without upgrading")
	f.BoolVar(&raw, "raw", false, "pass the input on as it is, without CRLF for LF")
	f.BoolVar(&showCerts, "showcerts", false, "print the certificates as served to standard error")
	f.StringVar(&chain, "save-chain", "", "write the certificates as served into `FILE` (PEM)")
	f.StringVar(&after, "upgrade-after", "", "talk in clear by hand, and start TLS when a line from the server matches `REGEX`")
	c.MarkFlagsMutuallyExclusive("dialogue", "upgrade-after")
	return c
}

func signInFailed(err error) error {
	var e *exit
	if errors.As(err, &e) {
		return e
	}
	return &exit{exitFindings, "sign-in: " + err.Error(), ""}
}

func (a *app) showCertificates(chain []*x509.Certificate) {
	for i, c := range chain {
		fmt.Fprintf(a.err, "%d  %s\n   issued by %s\n", i, c.Subject, c.Issuer)
		pem.Encode(a.err, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
}

// plainTarget reads HOST:PORT in a protocol that we do not know.
func plainTarget(s string) (check.Target, error) {
	if _, rest, ok := bytes.Cut([]byte(s), []byte("://")); ok {
		s = string(rest)
	}
	host, digits, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return check.Target{}, usagef("as in 192.0.2.1:3493", "%q is not HOST:PORT", s)
	}
	n, err := port(digits)
	return check.Target{Host: host, Port: n}, err
}

// talk joins the session to our input and output until the server closes.
func (a *app) talk(ctx context.Context, conn io.ReadWriteCloser, closeWrite func() error, crlf bool) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	said := &heard{Reader: conn}
	go func() {
		var w io.Writer = conn
		if crlf {
			w = &crlfWriter{w: conn}
		}
		io.Copy(w, a.in)
		said.untilQuiet()
		closeWrite()
	}()
	_, err := io.Copy(a.out, said)
	if err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
		return &exit{exitUnknown, "the session broke off: " + err.Error(), ""}
	}
	return nil
}

// quiet is how long a server must have said nothing before it is told that our
// input has ended: many drop their answers when they learn of it.
const quiet = 500 * time.Millisecond

// heard notes when something was last read.
type heard struct {
	io.Reader
	last atomic.Int64 // Unix time in nanoseconds
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	h.last.Store(time.Now().UnixNano())
	return n, err
}

// untilQuiet returns when nothing has been read for a while.
func (h *heard) untilQuiet() {
	h.last.Store(max(h.last.Load(), time.Now().UnixNano()))
	for {
		wait := quiet - time.Since(time.Unix(0, h.last.Load()))
		if wait <= 0 {
			return
		}
		time.Sleep(wait)
	}
}

// crlfWriter writes CRLF where LF stands alone.
type crlfWriter struct {
	w    io.Writer
	last byte
}

func (c *crlfWriter) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+16)
	for _, x := range b {
		if x == '\n' && c.last != '\r' {
			out = append(out, '\r')
		}
		out = append(out, x)
		c.last = x
	}
	if _, err := c.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// connectByHand talks in clear until a line from the server matches, and then
// starts TLS: for protocols that we do not know. What the server sent behind
// that line crosses into nothing: it ends the connection.
func (a *app) connectByHand(ctx context.Context, s *sessionFlags, t check.Target, by *regexp.Regexp) error {
	dctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	nc, err := s.dial(dctx, "tcp", net.JoinHostPort(t.Host, fmt.Sprint(t.Port)))
	if err != nil {
		return &exit{exitUnknown, err.Error(), "check the name and the port"}
	}
	defer nc.Close()
	upgraded := make(chan *tls.Conn, 1)
	go a.typeByHand(nc, upgraded)
	r := bufio.NewReaderSize(nc, 8192)
	for {
		line, err := r.ReadSlice('\n')
		a.out.Write(line)
		if err != nil {
			return &exit{exitUnknown, "no line matched before the server closed: " + err.Error(), ""}
		}
		if by.Match(bytes.TrimRight(line, "\r\n")) {
			break
		}
	}
	if n := r.Buffered(); n > 0 {
		ahead, _ := r.Peek(n)
		return &exit{exitFindings, (&starttls.InjectedError{From: starttls.ServerSide, Bytes: ahead}).Error(), ""}
	}
	name := s.name
	if name == "" {
		name = t.Host
	}
	tc := tls.Client(nc, &tls.Config{ServerName: name, RootCAs: s.roots, InsecureSkipVerify: s.insecure})
	hctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := tc.HandshakeContext(hctx); err != nil {
		return &exit{exitFindings, "handshake: " + err.Error(), "trust the server's authority with --ca FILE, or name the server with --name HOST"}
	}
	state := tc.ConnectionState()
	fmt.Fprintf(a.err, "upgraded: %s, %s\n", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	upgraded <- tc
	if _, err := io.Copy(a.out, tc); err != nil && ctx.Err() == nil {
		return &exit{exitUnknown, "the session broke off: " + err.Error(), ""}
	}
	return nil
}

// typeByHand passes our input on, line by line: in clear until the upgrade and
// inside TLS from then on. A line typed while the upgrade is under way waits
// for it.
func (a *app) typeByHand(nc net.Conn, upgraded <-chan *tls.Conn) {
	var w io.Writer = &crlfWriter{w: nc}
	in := bufio.NewReader(a.in)
	var tc *tls.Conn
	for {
		line, err := in.ReadBytes('\n')
		if tc == nil {
			select {
			case tc = <-upgraded:
				w = &crlfWriter{w: tc}
			case <-time.After(time.Second): // the server's answer to the line before
			}
		}
		w.Write(line)
		if err != nil {
			break
		}
	}
	if tc != nil {
		tc.CloseWrite()
	}
}
