package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strconv"
	"text/tabwriter"

	"example.org/starttls"
	"example.org/starttls/internal/met"
	"example.org/starttls/protocol"

	"github.com/spf13/cobra"
)

// protocolEntry is one line of "protocols"; its JSON names are a contract.
type protocolEntry struct {
	Name      string   `json:"name"`
	Aliases   []string `json:"aliases"`
	Port      int      `json:"port"`
	Implicit  int      `json:"implicit_tls_port"`
	Client    bool     `json:"client"`
	Server    bool     `json:"server"`
	Probe     bool     `json:"probe"`
	Inject    bool     `json:"inject"`  // there is an injection test
	Met       []string `json:"met"`     // programs of other people, with version; none: itself only
	Gateway   bool     `json:"gateway"` // its TLS can be ended by a gateway
	WhyNot    string   `json:"no_gateway_because,omitempty"`
	Title     string   `json:"title"`
	Reference string   `json:"reference"`
}

func newProtocols(a *app) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "protocols",
		Short: "List the protocols that are spoken, with their ports",
		Long: `List the protocols that are spoken: their ports with the upgrade and for TLS
from the first byte, which halves there are, whether the session inside TLS can
be probed, injection be tested and a gateway end the TLS, and which programs of
other people each has met in our tests: servers that our client half brought to
TLS, and clients that our server half did. The table names one and counts the
others; the JSON names them all.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			list := protocolEntries()
			switch format {
			case "json":
				e := json.NewEncoder(a.out)
				e.SetIndent("", "  ")
				return e.Encode(struct {
					Schema    string          `json:"schema"`
					Protocols []protocolEntry `json:"protocols"`
				}{"starttls.protocols/1", list})
			case "text":
				return a.protocolTable(list)
			}
			return usagef("text or json", "--format %q is not known", format)
		},
	}
	c.Flags().StringVar(&format, "format", "text", "`FORMAT`: text or json")
	return c
}

func protocolEntries() (list []protocolEntry) {
	for _, p := range protocol.All() {
		i := p.Info()
		_, probe := p.(starttls.Prober)
		_, inject := p.(starttls.Injector)
		why := ""
		if u, ok := p.(starttls.Unspliceable); ok {
			why = u.Unspliceable()
		}
		list = append(list, protocolEntry{i.Name, append([]string{}, i.Aliases...), i.Port, i.ImplicitTLS, true, true, probe, inject,
			met.Names(met.Of(i.Name)), why == "", why, i.Title, i.Reference})
	}
	return list
}

// protocolTable is narrow enough for a terminal of 100 columns.
func (a *app) protocolTable(list []protocolEntry) error {
	t := tabwriter.NewWriter(a.out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "SCHEME\tPORT\tTLS\tCLI-\tSER-\tPROBE\tIN-\tGATE-\tWHAT IT IS\tMET")
	fmt.Fprintln(t, "\t\t\tENT\tVER\t\tJECT\tWAY")
	for _, p := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, orDash(p.Port), orDash(p.Implicit),
			yes(p.Client), yes(p.Server), yes(p.Probe), yes(p.Inject), yes(p.Gateway), p.Title, briefly(p.Met))
	}
	return t.Flush()
}

// briefly names the first of the programs that were met, and counts the others.
func briefly(met []string) string {
	switch len(met) {
	case 0:
		return "itself only"
	case 1:
		return met[0]
	}
	return fmt.Sprintf("%s +%d", met[0], len(met)-1)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func orDash(port int) string {
	if port == 0 {
		return "-"
	}
	return strconv.Itoa(port)
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			revision, goVersion := "", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				goVersion = info.GoVersion
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = " " + s.Value
					}
				}
			}
			_, err := fmt.Fprintf(a.out, "starttls %s%s %s\n", buildVersion(), revision, goVersion)
			return err
		},
	}
}

// buildVersion is the version that the command was built at.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(unknown)"
}
