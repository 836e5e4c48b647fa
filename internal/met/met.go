// Package met tells which programs of other people each protocol has met: real
// servers that our client half brought to TLS, and real clients that our server
// half did. The table is written by the tests of internal/interop that met them
// (go test ./internal/interop -update), and by nobody else.
package met

import (
	_ "embed"
	"encoding/json"
	"slices"
	"sync"
)

// Peer is a program that one half of a protocol has met.
type Peer struct {
	Protocol string `json:"protocol"`
	Side     string `json:"side"` // the half of ours that met it: "client" or "server"
	Name     string `json:"name"`
	Version  string `json:"version"` // major and minor, as its package says
}

// String gives name and version: "Postfix 3.7".
func (p Peer) String() string { return p.Name + " " + p.Version }

//go:embed met.json
var file []byte

var table = sync.OnceValue(func() (peers []Peer) {
	if err := json.Unmarshal(file, &peers); err != nil {
		panic("met.json: " + err.Error()) // it is part of the program
	}
	return peers
})

// All returns the whole table, by protocol, side and name.
func All() []Peer { return slices.Clone(table()) }

// Of returns what the protocol of that name has met: the servers first, then the
// clients. It is empty for one that has met itself only.
func Of(protocol string) (peers []Peer) {
	for _, p := range table() {
		if p.Protocol == protocol {
			peers = append(peers, p)
		}
	}
	return peers
}

// Names gives name and version of each program among peers, once.
func Names(peers []Peer) []string {
	names := []string{}
	for _, p := range peers {
		if !slices.Contains(names, p.String()) {
			names = append(names, p.String())
		}
	}
	return names
}
