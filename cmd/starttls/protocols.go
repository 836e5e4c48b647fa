package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strconv"
	"text/tabwriter"

	"example.org/starttls"
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
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var list []protocolEntry
			for _, p := range protocol.All() {
				i := p.Info()
				_, probe := p.(starttls.Prober)
				why := ""
				if u, ok := p.(starttls.Unspliceable); ok {
					why = u.Unspliceable()
				}
				list = append(list, protocolEntry{i.Name, append([]string{}, i.Aliases...), i.Port, i.ImplicitTLS, true, true, probe, why == "", why, i.Title, i.Reference})
			}
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

func (a *app) protocolTable(list []protocolEntry) error {
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SCHEME\tPORT\tIMPLICIT TLS\tGATEWAY\tWHAT IT IS\tSPECIFICATION")
	for _, p := range list {
		gateway := "yes"
		if !p.Gateway {
			gateway = "no"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, orDash(p.Port), orDash(p.Implicit), gateway, p.Title, p.Reference)
	}
	return t.Flush()
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
