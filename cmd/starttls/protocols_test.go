package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"example.org/starttls/protocol"
)

func protocolsCommand(t *testing.T, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	root := newRoot(&app{strings.NewReader(""), &out, &stderr}, subcommands)
	root.SetArgs(append([]string{"protocols"}, args...))
	if err := root.Execute(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return out.String()
}

// The table has a line for each protocol, below two of heads, none wider than 100 columns.
func TestProtocolTable(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(protocolsCommand(t)), "\n")
	if want := len(protocol.All()) + 2; len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// The names in the JSON are a contract.
func TestProtocolsJSON(t *testing.T) {
	var got struct {
		Schema    string
		Protocols []map[string]any
	}
	if err := json.Unmarshal([]byte(protocolsCommand(t, "--format", "json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Schema != "starttls.protocols/1" || len(got.Protocols) != len(protocol.All()) {
		t.Fatalf("schema %q, %d protocols", got.Schema, len(got.Protocols))
	}
	names := []string{"aliases", "client", "gateway", "implicit_tls_port", "inject", "met", "name", "port", "probe", "reference", "server", "title"}
	met := 0
	for _, p := range got.Protocols {
		var have []string
		for name := range p {
			if name != "no_gateway_because" { // where there is one
				have = append(have, name)
			}
		}
		slices.Sort(have)
		list, ok := p["met"].([]any)
		if !slices.Equal(have, names) || !ok {
			t.Errorf("%v: %q", p["name"], have)
		}
		if len(list) > 0 {
			met++
		}
	}
	if met < 20 {
		t.Errorf("only %d protocols have met a program of other people's", met)
	}
}

func TestBriefly(t *testing.T) {
	for want, met := range map[string][]string{"itself only": nil, "a 1": {"a 1"}, "a 1 +2": {"a 1", "b 2", "c 3"}} {
		if got := briefly(met); got != want {
			t.Errorf("%q: %q, want %q", met, got, want)
		}
	}
}
