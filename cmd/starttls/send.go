package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"os"
	"strings"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"

	"github.com/emersion/go-smtp"
	"github.com/spf13/cobra"
)

func newSend(a *app) *cobra.Command {
	var s sessionFlags
	var from, server string
	var to []string
	c := &cobra.Command{
		Use:   "send --server TARGET --from ADDRESS --to ADDRESS [FILE]",
		Short: "Send one message through STARTTLS",
		Long: `send submits one message, from FILE or standard input ("-"), or a test message
that it writes itself. TLS is required. The dialogue is shown on standard error
as it goes: "C:" and "S:" in clear, "C~" and "S~" inside TLS, never a password.

Exit codes: 0 taken by the server; 1 refused; 2 a malformed command line; 3 the
network failed.`,
		Example: `  starttls send --server submission://mail.example.org --auth plain --user me --from me@example.org --to you@example.net
  starttls send --server smtp://mx.example.net --from me@example.org --to you@example.net message.eml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if server == "" || from == "" || len(to) == 0 {
				return usagef("starttls help send shows an example", "send needs --server, --from and --to")
			}
			for _, address := range append([]string{from}, to...) {
				if p, err := mail.ParseAddress(address); err != nil || p.Address != address {
					return usagef("as in me@example.org", "%q is no mail address", address)
				}
			}
			t, err := s.target(server)
			if err != nil {
				return err
			}
			if !strings.Contains(t.Protocol.Info().Greeting, "MTP") {
				return usagef("submission://, smtp:// or lmtp://", "%s takes no mail", t.Protocol.Info().Name)
			}
			if err := s.prepare(); err != nil {
				return err
			}
			message, err := a.message(args, from, to)
			if err != nil {
				return err
			}
			return a.send(c.Context(), &s, t, from, to, message)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&server, "server", "", "send it to `TARGET`")
	f.StringVar(&from, "from", "", "the sender's `ADDRESS`")
	f.StringArrayVar(&to, "to", nil, "a recipient's `ADDRESS`; may be repeated")
	return c
}

// message reads the message, or writes one.
func (a *app) message(args []string, from string, to []string) ([]byte, error) {
	switch {
	case len(args) == 0:
		var b bytes.Buffer
		host, _ := os.Hostname()
		fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: starttls test message\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThis message was sent by \"starttls send\" to see whether it arrives.\r\n",
			from, strings.Join(to, ">, <"), time.Now().UTC().Format(time.RFC1123Z), rand.Text(), host)
		return b.Bytes(), nil
	case args[0] == "-":
		return io.ReadAll(io.LimitReader(a.in, 64<<20))
	}
	b, err := os.ReadFile(args[0])
	if err != nil {
		return nil, fileError("", readHint, err)
	}
	return b, nil
}

func (a *app) send(ctx context.Context, s *sessionFlags, t check.Target, from string, to []string, message []byte) error {
	sasl, err := s.client(a)
	if err != nil {
		return err
	}
	conn, err := s.open(ctx, t, func(cfg *starttls.Config) { showClear(cfg, a.err) })
	if err != nil {
		if e, ok := errors.AsType[*starttls.Error](err); ok {
			a.showInside(e.Transcript)
		}
		return explain(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	a.describe(conn, t)
	a.showInside(conn.Transcript())
	if sasl != nil {
		if err := authenticate(ctx, conn, sasl); err != nil {
			return signInFailed(err)
		}
		fmt.Fprintf(a.err, "signed in as %s\n", s.user)
	}
	if err := a.transaction(conn, s, from, to, message); err != nil {
		var refused *smtp.SMTPError
		var lmtp smtp.LMTPDataError
		if errors.As(err, &refused) || errors.As(err, &lmtp) {
			return &exit{exitFindings, "refused: " + err.Error(), ""}
		}
		return &exit{exitUnknown, err.Error(), ""}
	}
	fmt.Fprintf(a.out, "sent to %s at level %s\n", t, conn.Level())
	return nil
}

// transaction is the mail transaction, by go-smtp over our connection.
func (a *app) transaction(conn *starttls.Conn, s *sessionFlags, from string, to []string, message []byte) error {
	shown := &shownConn{Conn: conn.Greeted(), w: a.err, greeting: true}
	newClient, lmtp := smtp.NewClient, strings.Contains(conn.Protocol().Info().Greeting, "LMTP")
	if lmtp {
		newClient = smtp.NewClientLMTP
	}
	c := newClient(shown)
	c.CommandTimeout, c.SubmissionTimeout = s.timeout, s.timeout+time.Minute
	if err := c.Hello(s.ehlo); err != nil {
		return err
	}
	if err := c.Mail(from, nil); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r, nil); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	shown.mute = true
	if _, err := w.Write(message); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "C~ (the message, %d bytes)\n", len(message))
	if err := w.Close(); err != nil {
		return err
	}
	shown.mute = false
	return c.Quit()
}

// showInside shows what was said inside TLS: what came before it was shown as it
// was said.
func (a *app) showInside(t starttls.Transcript) {
	for _, e := range t {
		if e.TLS {
			fmt.Fprint(a.err, starttls.Transcript{e})
		}
	}
}

// showClear has cfg's connection show on w what is said in clear, as it is said.
func showClear(cfg *starttls.Config, w io.Writer) {
	dial, shown := cfg.Dialer, &shownConn{}
	cfg.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		shown = &shownConn{Conn: nc, w: w, clear: true, over: cfg.Mode == starttls.Implicit}
		return shown, err
	}
	cfg.OnTLS = func([]byte) { shown.over = true }
}

// shownConn shows what passes over it, but for the greeting that was put in the
// place of the real one, and for the message.
type shownConn struct {
	net.Conn
	w        io.Writer
	clear    bool
	greeting bool
	mute     bool
	over     bool // nothing more is shown
}

func (c *shownConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.greeting {
		c.greeting = false
	} else {
		c.show(starttls.ServerSide, b[:n])
	}
	return n, err
}

func (c *shownConn) Write(b []byte) (int, error) {
	if !c.mute {
		c.show(starttls.ClientSide, b)
	}
	return c.Conn.Write(b)
}

func (c *shownConn) show(from starttls.Side, b []byte) {
	if len(b) > 0 && !c.over {
		fmt.Fprint(c.w, starttls.Transcript{{From: from, TLS: !c.clear, Data: b}})
	}
}
