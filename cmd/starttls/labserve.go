package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"

	"example.org/starttls/lab"
	"example.org/starttls/lab/render"

	"github.com/spf13/cobra"
)

// labServe is what the stand-alone lab is told.
type labServe struct {
	labRun
	rotate string
}

func (a *app) labServe(ctx context.Context, s labServe) error {
	o, err := s.options()
	if err != nil {
		return err
	}
	rotations := []lab.Rotation{lab.ByPort, lab.ByOrder, lab.ByUser, lab.BySNI}
	if !slices.Contains(rotations, lab.Rotation(s.rotate)) {
		return usagef("port, order, user or sni", "--rotate %q is not known", s.rotate)
	}
	o.OnResult = func(r lab.Result) {
		render.Line(a.out, r, !s.noColor && colorful(a.out))
		render.Evidence(a.out, r)
	}
	l, err := lab.Open(ctx, o, lab.Rotation(s.rotate))
	if err != nil {
		return &exit{exitUnknown, err.Error(), ""}
	}
	defer l.Close()
	root, err := a.labRoot(s.dir, l.RootPEM)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(a.err, 0, 0, 2, ' ', 0)
	for _, x := range l.Servers {
		what := "every case, by " + s.rotate
		if c, err := lab.Lookup(x.Case); err == nil {
			what = c.ID + "\tThe server " + c.Does + "."
		}
		fmt.Fprintf(t, "%s\t%s\n", x, what)
	}
	t.Flush()
	fmt.Fprintf(a.err, "\nroot to trust: %s\n%s\ninterrupt to end\n", root, l.RootPEM)
	<-ctx.Done()
	return nil
}

// labRoot saves the root that clients may trust. The other one is given to nobody.
func (a *app) labRoot(dir string, root []byte) (string, error) {
	dir, err := outFolder(dir)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(file, root, 0o644); err != nil {
		return "", fileError("--out", writeHint, err)
	}
	return file, nil
}

// outFolder is the folder that --out names, or a new temporary one.
func outFolder(dir string) (string, error) {
	if dir == "" {
		dir, err := os.MkdirTemp("", "starttls-lab-")
		if err != nil {
			return "", &exit{exitUnknown, err.Error(), ""}
		}
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fileError("--out", writeHint, err)
	}
	return dir, nil
}

func newLabMitm(a *app) *cobra.Command {
	var m labMitm
	c := &cobra.Command{
		Use:   "mitm --listen HOST:PORT --server TARGET --case CASE",
		Short: "Stand between a client and a real server, and tell the client one lie",
		Long: `mitm listens for clients and passes what they say on to the server TARGET, which
it reaches inside TLS, but for one thing: what CASE says. It can strip the offer
of TLS (strip-caps-refuse), mask it (mask), refuse the request (error-perm,
error-temp), answer it late (delay) or not at all (silent-drop), close
(close-on-starttls), inject (inject-resp), replace the certificate (cert-self and
its kin). "honest" changes nothing but the certificate's authority.

It prints what each client gave away, never the secret itself, and the root of
the authority that its certificates come from.`,
		Example: `  starttls lab mitm --listen 127.0.0.1:1143 --server imap://mail.example.org --case strip-caps-refuse`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.labMitm(c.Context(), m) },
	}
	m.network.flags(c)
	f := c.Flags()
	f.BoolVar(&m.insecure, "insecure", false, "accept any certificate of the real server")
	f.StringVar(&m.listenAt, "listen", "", "`HOST:PORT` to listen at")
	f.StringVar(&m.server, "server", "", "`TARGET` of the real server")
	f.StringVar(&m.id, "case", "strip-caps-refuse", "`CASE` to tell; \"starttls lab list\" lists them")
	f.BoolVar(&m.own, "i-own-this-network", false, "listen at other addresses than loopback")
	f.StringVar(&m.dir, "out", "", "`FOLDER` for the root certificate; by default a new temporary one")
	f.BoolVar(&m.noColor, "no-color", false, "no colours")
	return c
}

// labMitm is what "lab mitm" is told.
type labMitm struct {
	sessionFlags
	labRun
	server, listenAt, id string
}

func (a *app) labMitm(ctx context.Context, m labMitm) error {
	if m.server == "" || m.listenAt == "" {
		return usagef("as in: starttls lab mitm --listen 127.0.0.1:1143 --server imap://mail.example.org --case mask", "lab mitm needs --listen and --server")
	}
	t, err := m.target(m.server)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(m.listenAt)
	if err != nil {
		return usagef("as in --listen 127.0.0.1:1143", "--listen %q is not HOST:PORT", m.listenAt)
	}
	if err := errors.Join(mayListen(host, m.own), parseCases([]string{m.id}, t.Protocol), m.prepare()); err != nil {
		return err
	}
	between, err := lab.Between(ctx, lab.MiddleOptions{Protocol: t.Protocol, Listen: m.listenAt, Server: net.JoinHostPort(t.Host, strconv.Itoa(t.Port)), Case: m.id,
		Config: m.config(t), Expect: lab.Required, OnResult: func(x lab.Result) {
			render.Line(a.out, x, !m.noColor && colorful(a.out))
			render.Evidence(a.out, x)
		}})
	if err != nil {
		return usagef(`"starttls lab list --matrix" says which protocol has which case`, "%v", err)
	}
	defer between.Close()
	root, err := a.labRoot(m.dir, between.RootPEM)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "listening at %s for %s; root to trust: %s\n%s\ninterrupt to end\n", between.Addr, t, root, between.RootPEM)
	<-ctx.Done()
	return nil
}
