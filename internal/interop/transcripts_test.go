package interop

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.org/starttls"
)

var transcripts = flag.Bool("transcripts", false, "print the dialogue with each server that answers inside TLS what was said in clear, for docs/servers.md")

// TestInjectedTranscripts asserts nothing: it prints what becomes of a command
// behind the request for TLS. Inside TLS nothing is said, so that whatever comes
// there is the answer to it.
func TestInjectedTranscripts(t *testing.T) {
	if !*transcripts {
		t.Skip("-transcripts prints docs/servers.md's")
	}
	for _, s := range services {
		if cmp.Or(injected[s.server+"/"+s.scheme], injected[s.server]) != vulnerable {
			continue
		}
		in := s.injection(t)
		conn, err := s.bare(t, starttls.Required, func(msg []byte) []starttls.Segment {
			return []starttls.Segment{{Data: slices.Concat(msg, in.Probe)}}
		})
		check(t, err)
		said, r := answer(conn, nil, in)
		fmt.Printf("%s, %s: %+v\n\n```\n", s.server, s.scheme, r)
		for _, e := range append(conn.Transcript(), starttls.Entry{From: starttls.ServerSide, TLS: true, Data: said}) {
			fmt.Println(strings.Join(e.Lines(), "\n"))
		}
		fmt.Print("```\n\n")
		conn.Close()
	}
}
