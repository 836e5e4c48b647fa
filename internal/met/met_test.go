package met

import (
	"slices"
	"testing"

	"example.org/starttls/protocol"
)

// Whatever is in the table can be shown: it is of a protocol that there is, and
// complete.
func TestTable(t *testing.T) {
	if len(All()) == 0 {
		t.Error("the table is empty")
	}
	for i, p := range All() {
		_, _, err := protocol.Lookup(p.Protocol)
		if err != nil || p.Name == "" || p.Version == "" || p.Side != "client" && p.Side != "server" {
			t.Errorf("line %d: %+v", i, p)
		}
	}
}

func TestOf(t *testing.T) {
	if peers := Of("no such protocol"); len(peers) != 0 || len(Names(peers)) != 0 {
		t.Errorf("%v", peers)
	}
	first := All()[0]
	if !slices.Contains(Of(first.Protocol), first) {
		t.Errorf("%v is not among %v", first, Of(first.Protocol))
	}
}

func TestNames(t *testing.T) {
	both := []Peer{{"nbd", "client", "QEMU", "7.2"}, {"nbd", "server", "QEMU", "7.2"}, {"nbd", "server", "libnbd", "1.14"}}
	if got := Names(both); !slices.Equal(got, []string{"QEMU 7.2", "libnbd 1.14"}) {
		t.Errorf("%q", got)
	}
}
