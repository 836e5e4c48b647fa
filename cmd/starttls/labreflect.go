package main

import (
	"context"
	"fmt"
	"net"
	"text/tabwriter"

	"example.org/starttls/lab"

	"github.com/spf13/cobra"
)

// labReflect is what "lab reflect" is told.
type labReflect struct {
	protocols              []string
	dialogue               string
	listenAt, report, name string
	own                    bool
}

func newLabReflect(a *app) *cobra.Command {
	var f labReflect
	c := &cobra.Command{
		Use:   "reflect [--protocol PROTOCOL[,PROTOCOL...]] [--listen ADDRESS[:PORT]]",
		Short: "Be the honest other end of a path, to find out what the path changes",
		Long: `reflect serves protocols honestly, up to the end of the handshake, and keeps which
bytes reached it and which it sent. On a host of yours, run it, and from anywhere
the command that it prints, "check --reflect": that connects, asks for TLS in
several ways, and compares what was sent at each end with what arrived at the
other. So it finds the device on the path that removes or overwrites STARTTLS,
answers in the server's place, adds to what is said, ends connections, or holds
TLS itself.

The record goes through a port of its own, inside TLS, by a key that the printed
command holds in its last part: both ends prove that they have it. Who has that
command can read the record. It is kept in memory, for a minute, of the last 256
connections. Nobody can sign in here; still, point no client of yours at it.

--listen takes ADDRESS:0 for free ports, ADDRESS for each protocol's usual one, or
ADDRESS:PORT for one protocol. It listens at loopback; for another address, say
--i-own-this-network.`,
		Example: `  starttls lab reflect --protocol smtp
  starttls lab reflect --protocol smtp,submission,imap --listen 192.0.2.1 --report 192.0.2.1:8443 --i-own-this-network`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.labReflect(c.Context(), f) },
	}
	c.Flags().StringSliceVar(&f.protocols, "protocol", nil, "`PROTOCOLS` to serve (default: all)")
	c.Flags().StringVar(&f.dialogue, "dialogue", "", "serve the protocol that `FILE` describes")
	c.Flags().StringVar(&f.listenAt, "listen", "127.0.0.1:0", "`ADDRESS[:PORT]` to serve them at")
	c.Flags().StringVar(&f.report, "report", "", "`ADDRESS:PORT` of the record (default: a free port of the same address)")
	c.Flags().StringVar(&f.name, "name", "localhost", "`NAME` in the server's certificate")
	c.Flags().BoolVar(&f.own, "i-own-this-network", false, "listen at other addresses than loopback")
	return c
}

func (f labReflect) options() (o lab.ReflectOptions, err error) {
	if o.Protocols, err = parseProtocols(f.protocols, f.dialogue); err != nil {
		return o, err
	}
	host, digits, err := net.SplitHostPort(f.listenAt)
	if err != nil {
		host = f.listenAt
	}
	if err := mayListen(host, f.own); err != nil {
		return o, err
	}
	if digits != "" && digits != "0" && len(o.Protocols) != 1 {
		return o, usagef("leave the port away, for each protocol's usual one", "--listen %s is one port, for one --protocol", f.listenAt)
	}
	if f.report == "" {
		f.report = net.JoinHostPort(host, "0")
	}
	if host, _, err = net.SplitHostPort(f.report); err != nil {
		return o, usagef("as in --report 127.0.0.1:8443", "--report %q is not ADDRESS:PORT", f.report)
	}
	o.Listen, o.Report, o.Name = f.listenAt, f.report, f.name
	return o, mayListen(host, f.own)
}

func (a *app) labReflect(ctx context.Context, f labReflect) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	r, err := lab.Reflect(ctx, o)
	if err != nil {
		return notListening(err, "")
	}
	defer r.Close()
	t := tabwriter.NewWriter(a.err, 0, 0, 2, ' ', 0)
	for _, s := range r.Services {
		fmt.Fprintf(t, "%s://%s\t%s\n", s.Protocol.Info().Name, s.Addr, s.Protocol.Info().Title)
	}
	t.Flush()
	host, port, _ := net.SplitHostPort(r.Addr)
	if net.ParseIP(host).IsUnspecified() {
		host = localName() // as the other end may know it
	}
	fmt.Fprintf(a.out, "starttls check --reflect %s#%s\n", net.JoinHostPort(host, port), r.Key)
	fmt.Fprint(a.err, "interrupt to end\n")
	<-ctx.Done()
	return nil
}
