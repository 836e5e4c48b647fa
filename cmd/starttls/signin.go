package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"example.org/starttls"

	"github.com/emersion/go-sasl"
	"github.com/spf13/cobra"
	"github.com/xdg-go/scram"
	"golang.org/x/term"
)

const passwordVariable = "STARTTLS_PASSWORD"

// signIn is who signs in, and how: the flags that connect and send share.
type signIn struct {
	mechanism, user, file string
}

func (s *signIn) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.mechanism, "auth", "", "sign in by `MECHANISM`: plain, login, scram-sha-256 or xoauth2; only inside verified TLS")
	f.StringVar(&s.user, "user", "", "sign in as `USER`; the password comes from --password-file, $"+passwordVariable+" or a prompt")
	f.StringVar(&s.file, "password-file", "", "the first line of `FILE` is the password, or the token")
	c.MarkFlagFilename("password-file")
	c.RegisterFlagCompletionFunc("auth", cobra.FixedCompletions([]string{"plain", "login", "scram-sha-256", "xoauth2"}, cobra.ShellCompDirectiveNoFileComp))
}

// client returns the mechanism, loaded with the password; nil where nobody is
// to sign in.
func (s *signIn) client(a *app) (sasl.Client, error) {
	if s.mechanism == "" {
		if s.user != "" {
			return nil, usagef("as in --auth plain", "--user needs --auth")
		}
		return nil, nil
	}
	if s.user == "" {
		return nil, usagef("as in --user me", "--auth needs --user")
	}
	build, ok := map[string]func(user, password string) sasl.Client{
		"plain":         func(u, p string) sasl.Client { return sasl.NewPlainClient("", u, p) },
		"login":         func(u, p string) sasl.Client { return &loginClient{user: u, password: p} },
		"scram-sha-256": newScram,
		"xoauth2":       func(u, p string) sasl.Client { return &xoauth2{u, p} },
	}[strings.ToLower(s.mechanism)]
	if !ok {
		return nil, usagef("plain, login, scram-sha-256 or xoauth2", "--auth %q is not known", s.mechanism)
	}
	password, err := s.password(a)
	if err != nil {
		return nil, err
	}
	return build(s.user, password), nil
}

func (s *signIn) password(a *app) (string, error) {
	if s.file != "" {
		b, err := os.ReadFile(s.file)
		if err != nil {
			return "", fileError("--password-file", readHint, err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		return strings.TrimSuffix(line, "\r"), nil
	}
	if p, ok := os.LookupEnv(passwordVariable); ok {
		return p, nil
	}
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", usagef("give --password-file FILE, or set $"+passwordVariable, "no password for %s", s.user)
	}
	fmt.Fprintf(a.err, "password for %s: ", s.user)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.err)
	return string(b), err
}

// requireVerified refuses to sign in where the password could be read or the
// server is not who it should be.
func requireVerified(conn *starttls.Conn) error {
	if conn.Level() != starttls.LevelVerify {
		return &exit{exitFindings, fmt.Sprintf("not signing in at level %q: the password would go to whoever answers", conn.Level()), "leave --insecure and --clear out, and trust the server's authority with --ca FILE"}
	}
	return nil
}

// authenticate signs in over conn, by the protocol's own way to carry SASL.
func authenticate(ctx context.Context, conn *starttls.Conn, client sasl.Client) error {
	if err := requireVerified(conn); err != nil {
		return err
	}
	p, ok := conn.Protocol().(starttls.Authenticator)
	if !ok {
		return usagef("leave --auth out", "%s has no sign-in by SASL here", conn.Protocol().Info().Name)
	}
	mechanism, initial, err := client.Start()
	if err != nil {
		return err
	}
	w := conn.Wire(ctx)
	defer w.Release()
	if err := p.Authenticate(w, mechanism, initial, client.Next); err != nil {
		return err
	}
	if s, ok := client.(*scramClient); ok && !s.conversation.Valid() { // RFC 5802, section 5: the server proves itself too
		return errors.New("the server did not prove that it knows the password")
	}
	return nil
}

// loginClient is LOGIN, which was never standardised: name and password in
// answer to two prompts, whatever their words.
type loginClient struct {
	user, password string
	asked          int
}

func (l *loginClient) Start() (string, []byte, error) { return "LOGIN", nil, nil }

func (l *loginClient) Next([]byte) ([]byte, error) {
	l.asked++
	switch l.asked {
	case 1:
		return []byte(l.user), nil
	case 2:
		return []byte(l.password), nil
	}
	return nil, sasl.ErrUnexpectedServerChallenge
}

// xoauth2 is XOAUTH2, whose password is an access token.
type xoauth2 struct{ user, token string }

func (x *xoauth2) Start() (string, []byte, error) {
	return "XOAUTH2", []byte("user=" + x.user + "\x01auth=Bearer " + x.token + "\x01\x01"), nil
}

// Next answers the error report with nothing, after which the server refuses.
func (x *xoauth2) Next([]byte) ([]byte, error) { return []byte{}, nil }

// scramClient is SCRAM-SHA-256 (RFC 7677).
type scramClient struct {
	conversation *scram.ClientConversation
	err          error
}

func newScram(user, password string) sasl.Client {
	c, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return &scramClient{err: err}
	}
	return &scramClient{conversation: c.NewConversation()}
}

func (s *scramClient) Start() (string, []byte, error) {
	if s.err != nil {
		return "", nil, s.err
	}
	first, err := s.conversation.Step("")
	return "SCRAM-SHA-256", []byte(first), err
}

func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	if s.conversation.Done() {
		return nil, errors.New("the server goes on after the end of SCRAM")
	}
	answer, err := s.conversation.Step(string(challenge))
	return []byte(answer), err
}
