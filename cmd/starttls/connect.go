package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"sync/atomic"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"

	"github.com/spf13/cobra"
)

// connectFlags is what connect does besides.
type connectFlags struct {
	raw, showCerts bool
	chain          string
}

// crlf reports whether what is typed for t has its LF made CRLF.
func (o *connectFlags) crlf(t check.Target) bool {
	if t.Protocol == nil {
		return !o.raw
	}
	info := t.Protocol.Info()
	return !o.raw && !info.LF && !info.Binary
}

func newConnect(a *app) *cobra.Command {
	var s sessionFlags
	var o connectFlags
	var clear bool
	var after string
	c := &cobra.Command{
		Use:   "connect TARGET",
		Short: "Talk to a server inside TLS",
		Long: `connect upgrades a connection to TLS and joins the session to standard input and
output. What was negotiated goes to standard error. No key is a command: what
you type goes to the server. In protocols made of lines, LF becomes CRLF.

At the end of the input, once the server has been quiet for half a second, that
end is passed on to it, and what it still says is shown until it closes.

With --upgrade-after you talk in clear by hand, in a protocol that need not be
known, until a line of the server's matches; then TLS begins. A script's lines
wait, each for the answer to the one before (at most for --timeout), lest what is
meant for TLS goes in clear.

Exit codes: 0 the session has ended; 1 no TLS, or nobody was signed in; 2 a
malformed command line; 3 the network failed.`,
		Example: `  starttls connect imap://mail.example.org
  printf 'EHLO me\nQUIT\n' | starttls connect smtp://mx.example.org
  starttls connect --auth plain --user me imap://mail.example.org
  starttls connect --upgrade-after '^OK STARTTLS' 192.0.2.1:3493`,
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
				return a.connectByHand(c.Context(), &s, o, t, by)
			}
			conn, err := s.open(c.Context(), t, func(cfg *starttls.Config) {
				if clear {
					cfg.Mode = starttls.None
				}
			})
			if err != nil {
				return explain(err)
			}
			defer conn.Close()
			a.describe(conn, t)
			if err := a.certificates(o, conn.TLS()); err != nil {
				return err
			}
			if sasl != nil {
				if err := authenticate(c.Context(), conn, sasl); err != nil {
					return signInFailed(err)
				}
				fmt.Fprintf(a.err, "signed in as %s\n", s.user)
			}
			if clear { // the session has begun with the server's greeting
				a.out.Write(conn.Before().Greeting)
			} else {
				a.out.Write(conn.Inside().Greeting)
			}
			return a.talk(c.Context(), conn, conn.CloseWrite, o.crlf(t))
		},
	}
	s.flags(c)
	f := c.Flags()
	f.BoolVar(&clear, "clear", false, "talk without upgrading")
	f.BoolVar(&o.raw, "raw", false, "pass the input on as it is, without CRLF for LF")
	f.BoolVar(&o.showCerts, "showcerts", false, "print the certificates as served to standard error")
	f.StringVar(&o.chain, "save-chain", "", "write the certificates as served into `FILE` (PEM)")
	f.StringVar(&after, "upgrade-after", "", "talk in clear by hand, and start TLS when a line from the server matches `REGEX`")
	c.MarkFlagsMutuallyExclusive("dialogue", "upgrade-after")
	c.MarkFlagFilename("save-chain")
	return c
}

func signInFailed(err error) error {
	var e *exit
	if errors.As(err, &e) {
		return e
	}
	return &exit{exitFindings, "sign-in: " + err.Error(), "is the password right? starttls check shows the mechanisms that the server takes"}
}

// certificates shows and saves those that were served, as o says. conn is nil in clear.
func (a *app) certificates(o connectFlags, conn *tls.Conn) error {
	if conn == nil {
		if o.chain != "" {
			return usagef("leave --clear or --save-chain out", "--save-chain: there is no certificate without TLS")
		}
		return nil
	}
	var b []byte
	for i, c := range conn.ConnectionState().PeerCertificates { // leaf first
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		if b = append(b, block...); o.showCerts {
			fmt.Fprintf(a.err, "%d  %s\n   issued by %s\n%s", i, c.Subject, c.Issuer, block)
		}
	}
	if o.chain == "" {
		return nil
	}
	if err := os.WriteFile(o.chain, b, 0o644); err != nil {
		return fileError("--save-chain", writeHint, err)
	}
	return nil
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
