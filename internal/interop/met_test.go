package interop

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.org/starttls"
	"example.org/starttls/internal/met"
	"example.org/starttls/protocol"
)

// What was met: each test that brings one of our halves together with a program
// of somebody else's says so with meet. When a whole run is over, and no peer
// was missing, the table must be that of internal/met.

var update = flag.Bool("update", false, "write internal/met/met.json anew, from what this run meets")

const metFile = "../met/met.json"

// programs are the peers: each with where its version is asked for; see versionOf.
var programs = map[string]string{
	"@mysql/xdevapi": "npm @mysql/xdevapi",
	"C-Kermit":       "ckermit",
	"CUPS":           "cups-daemon",
	"curl":           "curl",
	"Cyrus IMAP":     "cyrus-common",
	"Dovecot":        "dovecot-core",
	"Exim":           "exim4-daemon-light",
	"FreeRDP":        "freerdp2-x11",
	"FreeTDS":        "freetds-bin",
	"GnuTLS":         "gnutls-bin",
	"Go net/smtp":    "go",
	"go-amqp":        "go github.com/Azure/go-amqp",
	"go-imap":        "go github.com/emersion/go-imap/v2",
	"go-ldap":        "go github.com/go-ldap/ldap/v3",
	"go-mssqldb":     "go github.com/microsoft/go-mssqldb",
	"go-sendxmpp":    "go-sendxmpp",
	"go-sql-driver":  "go github.com/go-sql-driver/mysql",
	"GTK-VNC":        "gvncviewer",
	"INN":            "inn2",
	"InspIRCd":       "inspircd",
	"irssi":          "irssi",
	"lftp":           "lftp",
	"libnbd":         "libnbd-bin",
	"MariaDB":        "mariadb-server",
	"nats-server":    "nats-server",
	"nats.go":        "go github.com/nats-io/nats.go",
	"nbdkit":         "nbdkit",
	"NUT":            "nut-server",
	"OpenLDAP":       "slapd",
	"OpenSSL":        "openssl",
	"PgBouncer":      "pgbouncer",
	"pgx":            "go github.com/jackc/pgx/v5",
	"Postfix":        "postfix",
	"PostgreSQL":     "postgresql", // its number is the major version
	"ProFTPD":        "proftpd-core",
	"Prosody":        "prosody",
	"Pure-FTPd":      "pure-ftpd",
	"QEMU":           "qemu-utils",
	"Shishi":         "shishi-kdc",
	"sieve-connect":  "sieve-connect",
	"swaks":          "swaks",
	"TigerVNC":       "tigervnc-standalone-server",
	"vsftpd":         "vsftpd",
	"xrdp":           "xrdp",
}

var meetings struct {
	sync.Mutex
	met []met.Peer // without versions
}

var peersMissing atomic.Bool // a test was skipped for want of a peer

// meet notes, when t has passed, that our half of that side of a protocol has
// been brought to TLS with peer. TLS from the first byte is no such meeting.
func meet(t testing.TB, scheme string, side starttls.Side, peer string) {
	t.Helper()
	p, implicit, err := protocol.Lookup(scheme)
	check(t, err)
	if programs[peer] == "" {
		t.Fatalf("%q is none of the programs of met_test.go", peer)
	}
	t.Cleanup(func() {
		m := met.Peer{Protocol: p.Info().Name, Side: side.String(), Name: peer}
		meetings.Lock()
		defer meetings.Unlock()
		if !t.Failed() && !t.Skipped() && !implicit && !slices.Contains(meetings.met, m) {
			meetings.met = append(meetings.met, m)
		}
	})
}

// compareMet compares the table with what a whole run has met, or writes it. It
// returns the exit code.
func compareMet(code int) int {
	switch {
	case code != 0:
		return code
	case partial():
		if *update {
			fmt.Fprintln(os.Stderr, "met.json is left as it is: -update needs a run of all tests")
			return 1
		}
		return 0
	case peersMissing.Load():
		fmt.Fprintln(os.Stderr, "met.json was not compared: not all peers are here; run make peers")
		return 0
	}
	now, err := renderMet(meetings.met)
	if err == nil && *update {
		err = os.WriteFile(metFile, now, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "met.json:", err)
		return 1
	}
	recorded, _ := os.ReadFile(metFile)
	if diff := metDiff(recorded, now); diff != "" {
		fmt.Fprintf(os.Stderr, "FAIL: internal/met/met.json is not what this run has met; run: go test ./internal/interop ./docs -update\n%s", diff)
		return 1
	}
	return 0
}

// partial reports whether only some of the tests were asked for.
func partial() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return true
		}
	}
	return false
}

// renderMet writes peers, with their versions, as JSON of one line each.
func renderMet(peers []met.Peer) ([]byte, error) {
	peers = slices.Clone(peers)
	slices.SortFunc(peers, func(a, b met.Peer) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Side, b.Side), cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	})
	var lines [][]byte
	for _, p := range peers {
		v, err := versionOf(programs[p.Name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		p.Version = v
		line, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return slices.Concat([]byte("[\n"), bytes.Join(lines, []byte(",\n")), []byte("\n]\n")), nil
}

// metDiff tells the lines that only one of two tables has.
func metDiff(recorded, now []byte) string {
	var b strings.Builder
	only := func(what string, in, other []byte) {
		for line := range strings.Lines(string(in)) {
			line = strings.TrimRight(line, ",\n")
			if !strings.Contains(string(other), line) {
				fmt.Fprintf(&b, "%s %s\n", what, line)
			}
		}
	}
	only("-", recorded, now)
	only("+", now, recorded)
	return b.String()
}

// versionOf gives the version of a Debian package, installed or unpacked, of a
// module of Go ("go PATH") or Node.js ("npm NAME"), or of Go itself.
func versionOf(source string) (string, error) {
	kind, name, _ := strings.Cut(source, " ")
	argv := []string{"dpkg-query", "-W", "-f", "${Version}", source}
	switch control := unpacked(source, "DEBIAN/control"); {
	case kind == "go" && name == "":
		argv = []string{"go", "env", "GOVERSION"}
	case kind == "go":
		argv = []string{"go", "list", "-m", "-f", "{{.Version}}", name}
	case kind == "npm":
		argv = []string{"/bin/sh", "-c", `node -p "require('$(npm root --global)/` + name + `/package.json').version"`}
	case exists(control):
		argv = []string{"sed", "-n", "s/^Version: //p", control}
	}
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if v := majorMinor(string(out)); err == nil && v != "" {
		return v, nil
	}
	return "", fmt.Errorf("%s gives no version: %q, %v", argv[0], out, err)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var twoNumbers = regexp.MustCompile(`^(?:go|v|\d+:)?(\d+(?:\.\d+)?)`)

// majorMinor is what of a version no security update changes: without the
// epoch, and no more than two numbers.
func majorMinor(version string) string {
	if m := twoNumbers.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return ""
}

func TestMajorMinor(t *testing.T) {
	for version, want := range map[string]string{
		"3.7.11-0+deb12u1": "3.7", "1:10.11.14-0+deb12u2": "10.11", "15+248+deb12u1": "15", "402~beta08-1": "402",
		"v2.0.0-beta.8": "2.0", "1:7.2+dfsg-7": "7.2", "20201014.0-3": "20201014.0", "go1.26.8": "1.26", "": "", "unknown": "",
	} {
		if got := majorMinor(version); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

func TestMetDiff(t *testing.T) {
	table := []byte("[\n{a},\n{b}\n]\n")
	if diff := metDiff(table, table); diff != "" {
		t.Errorf("the same table twice: %q", diff)
	}
	if diff, want := metDiff(table, []byte("[\n{b},\n{c}\n]\n")), "- {a}\n+ {c}\n"; diff != want {
		t.Errorf("%q, want %q", diff, want)
	}
}
