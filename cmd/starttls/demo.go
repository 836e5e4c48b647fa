package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"example.org/starttls/check"
	"example.org/starttls/internal/demo"

	"github.com/spf13/cobra"
)

func newDemo(a *app) *cobra.Command {
	var o output
	var serve bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Start servers of every protocol on loopback and check them",
		Long: `demo starts a server of every protocol on loopback, with certificates of a
throw-away authority, and some more with a fault each. It checks them all, prints
the report, and exits with 0 only if each got the verdict it was made for.`,
		Example: "  starttls demo\n  starttls demo --serve",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			d, err := demo.Start(c.Context(), serve)
			if err != nil {
				return &exit{exitUnknown, err.Error(), ""}
			}
			defer d.Close()
			if serve {
				return a.serveDemo(c.Context(), d)
			}
			ctx, cancel := context.WithTimeout(c.Context(), 15*time.Second)
			defer cancel()
			r := check.Report{Schema: check.Schema, Results: d.Check(ctx, check.Options{Transcript: o.transcript})}
			if err := o.print(a.out, a.err, r); err != nil {
				return err
			}
			return a.judgeDemo(d, r)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&serve, "serve", false, "keep the servers running, to point any tool at them")
	return c
}

func (a *app) judgeDemo(d *demo.Demo, r check.Report) error {
	wrong := 0
	for i, s := range d.Servers {
		if why := s.Judge(r.Results[i]); why != "" {
			wrong++
			fmt.Fprintf(a.err, "%s (%s): %s\n", s.Target, s.Fault, why)
		}
	}
	fmt.Fprintf(a.err, "\n%d servers, %d got the verdict they were made for.\n", len(d.Servers), len(d.Servers)-wrong)
	if wrong > 0 {
		return &exit{exitFindings, "the demo did not go as it should", ""}
	}
	fmt.Fprint(a.err, "Next: starttls check smtp://your.server.example   a server of yours\n"+
		"      starttls demo --serve                      keeps these running, to point any tool at\n"+
		"      starttls protocols                         all that is spoken\n")
	return nil
}

// serveDemo keeps the servers running until it is interrupted.
func (a *app) serveDemo(ctx context.Context, d *demo.Demo) error {
	root, err := os.CreateTemp("", "starttls-demo-root-*.pem")
	if err != nil {
		return &exit{exitUnknown, err.Error(), ""}
	}
	defer os.Remove(root.Name())
	pem.Encode(root, &pem.Block{Type: "CERTIFICATE", Bytes: d.Root.Raw})
	root.Close()
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, s := range d.Servers {
		fault := s.Fault
		if fault == "" {
			fault = "healthy"
		}
		fmt.Fprintf(t, "%s\t%s\n", s.Target, fault)
	}
	t.Flush()
	fmt.Fprintf(a.err, "\nroot certificate: %s\ntry: starttls check --ca %s --name %s %s\ninterrupt to end\n", root.Name(), root.Name(), demo.Name, d.Servers[0].Target)
	<-ctx.Done()
	return nil
}
