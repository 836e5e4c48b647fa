package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"text/tabwriter"

	"example.org/starttls"
	"example.org/starttls/lab"
	"example.org/starttls/lab/mta"
	"example.org/starttls/protocol"

	"github.com/spf13/cobra"
)

func newLab(a *app) *cobra.Command {
	var s labServe
	c := &cobra.Command{
		Use:   "lab --protocol PROTOCOL[,PROTOCOL...]",
		Short: "Test whether a client falls for a server that lies",
		Long: `lab serves every case in which a server, or somebody on the path to it, lies to a
client, each at a port of its own, and says of each connection what the client
gave away. It prints and saves the root of a throw-away authority for clients to
trust; another one, which some cases use, it gives to nobody.

"lab run" starts the client itself, once for each case, and prints a table; "lab
mitm" stands between a client and a real server; "lab mta" judges mail servers as
senders; "lab list" says what each case does and what it stands for. How the score
is told stands under "lab run". "lab reflect" tells no lies: with "check --reflect"
it shows what the path between two hosts changes.

With --rotate there is one port for each protocol: by order, each connection
meets the next case; by user, who signs in as CASE or lab-CASE meets that case
from his next connection on; by sni, who asks for the name CASE.anything gets
that case's certificate.

It listens at loopback. For another address, say --i-own-this-network.`,
		Example: `  starttls lab --protocol imap,smtp
  starttls lab --protocol imap --case preauth,inject-resp
  starttls lab run --protocol smtp -- swaks --server {host}:{port} --tls --to a@example.test`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.labServe(c.Context(), s) },
	}
	s.format = "text"
	s.flags(c)
	c.Flags().StringVar(&s.rotate, "rotate", "port", "how a client comes to its `CASE`: port, order, user or sni")
	c.AddCommand(newLabRun(a), newLabList(a), newLabMitm(a), newLabMTA(a), newLabReflect(a))
	return c
}

// parseProtocols reads a list of protocols' names. One of them, or all there is if
// there is no list, can be what a file describes.
func parseProtocols(list []string, dialogue string) (out []starttls.Protocol, err error) {
	var own starttls.Protocol
	if dialogue != "" {
		if own, err = readDialogue(dialogue); err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return []starttls.Protocol{own}, nil
		}
	}
	for _, name := range list {
		p, implicit, err := lookup(strings.TrimSpace(name), own)
		if err != nil || implicit {
			return nil, usagef(`"starttls protocols" lists them`, "--protocol: no protocol is called %q", name)
		}
		out = append(out, p)
	}
	return out, nil
}

// parseCases checks a list of cases' names. Each must be one of a protocol's.
func parseCases(list []string, protocols ...starttls.Protocol) error {
	for _, id := range list {
		x, err := lab.Lookup(id)
		if err != nil {
			return usagef(`"starttls lab list" lists them`, "--case: %v", err)
		}
		if !slices.ContainsFunc(protocols, func(p starttls.Protocol) bool { return x.Why(p) == "" }) {
			name := protocols[0].Info().Name
			return usagef(`"starttls lab list --protocol `+name+`" lists those that it has`, "--case %s: not in %s: %s", id, name, x.Why(protocols[0]))
		}
	}
	return nil
}

// mayListen refuses other addresses than loopback to who does not say that the
// network is his.
func mayListen(address string, own bool) error {
	ip := net.ParseIP(address)
	switch {
	case ip == nil:
		return usagef("as in --listen 127.0.0.1", "--listen %q is no address", address)
	case !ip.IsLoopback() && !own:
		return usagef("add --i-own-this-network if what happens there is yours to decide", "--listen %s is not loopback", address)
	}
	return nil
}

// notListening says why what was to listen does not. An address that can be none
// was mistyped; else it is this machine's affair.
func notListening(err error, hint string) error {
	var address *net.AddrError
	if errors.As(err, &address) {
		return usagef(hint, "%v", err)
	}
	return &exit{exitUnknown, err.Error(), hint}
}

func newLabList(a *app) *cobra.Command {
	var names []string
	var dialogue string
	var matrix bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the cases, what each does and what it stands for",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			protocols, err := parseProtocols(names, dialogue)
			if err != nil {
				return err
			}
			if protocols == nil {
				protocols = protocol.All()
			}
			if matrix {
				return a.labMatrix(protocols)
			}
			t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, x := range lab.Catalogue() {
				if !slices.ContainsFunc(protocols, func(p starttls.Protocol) bool { return x.Why(p) == "" }) {
					continue
				}
				fmt.Fprintf(t, "%s\tThe server %s.\t%s\n", x.ID, x.Does, cmp.Or(strings.Join(x.References, ", "), "-"))
			}
			if slices.ContainsFunc(protocols, func(p starttls.Protocol) bool { return p.Info().Name == mta.Protocol.Info().Name }) {
				for _, x := range mta.Catalogue() {
					fmt.Fprintf(t, "%s\tThe domain %s.\t%s\n", x.ID, x.Does, cmp.Or(strings.Join(x.References, ", "), "-"))
				}
			}
			return t.Flush()
		},
	}
	c.Flags().StringSliceVar(&names, "protocol", nil, "only cases of these `PROTOCOLS`")
	c.Flags().StringVar(&dialogue, "dialogue", "", "cases of the protocol that `FILE` describes")
	c.Flags().BoolVar(&matrix, "matrix", false, "print protocol by case: yes, or why not")
	return c
}

func (a *app) labMatrix(protocols []starttls.Protocol) error {
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, p := range protocols {
		for _, x := range lab.Catalogue() {
			fmt.Fprintf(t, "%s\t%s\t%s\n", p.Info().Name, x.ID, cmp.Or(x.Why(p), "yes"))
		}
	}
	return t.Flush()
}
