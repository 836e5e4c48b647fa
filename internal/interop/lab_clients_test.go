package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/lab"
	"example.org/starttls/protocol"

	"github.com/emersion/go-imap/v2/imapclient"
	ldapclient "github.com/go-ldap/ldap/v3"
	mysqlclient "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
)

// clientsPage is where `make clients` has the table of real clients printed.
var (
	clientsPage = flag.String("clients", "", "meet every case of the lab with every client there is, and print the table into this `FILE`")
	clientsOnly = flag.String("only", "", "with -clients, only the clients of these `NAMES`")
)

// labClient is a client that the lab is shown to; our own must be clean.
type labClient struct {
	own           bool
	name, version string
	protocol      starttls.Protocol
	expect        lab.Expect
	command       string // what it was asked, for people
	run           func(t *testing.T) (lab.Report, error)
}

// inLab has a client meet every case of a protocol.
func inLab(p starttls.Protocol, expect lab.Expect, client func(*testing.T) lab.Client) func(*testing.T) (lab.Report, error) {
	return func(t *testing.T) (lab.Report, error) {
		return lab.Run(t.Context(), lab.Options{Protocols: []starttls.Protocol{p}, Expect: expect, Parallel: 6}, client(t))
	}
}

// TestLabClients measures how each client fares in each case. What others do is
// no failure of ours.
func TestLabClients(t *testing.T) {
	if *clientsPage == "" {
		t.Skip("make clients runs it")
	}
	all := slices.DeleteFunc(slices.Concat(labPrograms(t), postfixClients(t), goClients(), labSenders(), ownClients()), func(c labClient) bool {
		return *clientsOnly != "" && !slices.Contains(strings.Split(*clientsOnly, ","), c.name)
	})
	page := clientsTable{rows: make([]string, len(all)), details: make([]string, len(all))}
	for i, c := range all {
		t.Run(c.name+" "+c.protocol.Info().Name, func(t *testing.T) {
			t.Parallel()
			rep, err := c.run(t)
			check(t, err)
			for _, r := range rep.Results {
				if c.own && (r.Verdict != lab.OK || r.Score != lab.Closed) {
					t.Errorf("%s: %s, score %s: %s; it ended by: %s\n%s", r.Case, r.Verdict, r.Score, r.Detail, r.Client, strings.Join(r.Evidence, "\n"))
				}
			}
			row := fmt.Sprintf("| %s | %s | `%s` | %s | %s |\n", c.name, strings.ReplaceAll(c.version, "|", ""), c.protocol.Info().Name, c.expect, rep.Summary())
			check(t, page.add(i, row, labDetails(c, rep)))
		})
	}
}

// clientsTable is the page as far as it has come: it is written anew after each
// client, since all of them take a while.
type clientsTable struct {
	sync.Mutex
	rows, details []string
}

func (p *clientsTable) add(i int, row, details string) error {
	p.Lock()
	defer p.Unlock()
	p.rows[i], p.details[i] = row, details
	text := clientsHead + strings.Join(p.rows, "") + "\n" + strings.Join(p.details, "")
	return os.WriteFile(*clientsPage, []byte(strings.TrimRight(text, "\n")+"\n"), 0o644)
}

const clientsHead = `# Clients, measured

How clients fare in the cases of [starttls lab](lab.md), as ` + "`make clients`" + ` measured it: the version that it met, what was asked of it, and what it did. Printed by TestLabClients in internal/interop; nothing here is written by hand. "lab list" says what each case does; the scores are those of "lab run". A case is ok where the client gave nothing away; "this library" must be ok in all, or the measurement fails.

| client | version | protocol | TLS was | verdicts |
|---|---|---|---|---|
`

// labDetails writes what was not ok, with the end of the dialogue for evidence.
func labDetails(c labClient, rep lab.Report) string {
	if c.own {
		return "" // the row says that nothing is left to say
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s, asked as: `%s`\n\n", c.name, c.version, c.command)
	clean := true
	for _, r := range rep.Results {
		if r.Verdict == lab.OK {
			continue
		}
		clean = false
		evidence := r.Evidence[max(0, len(r.Evidence)-4):]
		fmt.Fprintf(&b, "- `%s` %s, score %s: %s\n", r.Case, r.Verdict, r.Score, starttls.Escape(r.Detail))
		for _, e := range evidence {
			fmt.Fprintf(&b, "  - `%s`\n", strings.ReplaceAll(e[:min(len(e), 100)], "`", "'"))
		}
	}
	if clean {
		b.WriteString("Nothing was given away in any case.\n")
	}
	b.WriteString("\n")
	return b.String()
}

// programs are the scripts in testdata/clients whose program is installed. Their
// first line says protocol, what is asked for, and what tells the version.
func labPrograms(t *testing.T) (out []labClient) {
	files, err := filepath.Glob("testdata/clients/*.sh")
	check(t, err)
	for _, file := range files {
		f, err := os.Open(file)
		check(t, err)
		s := bufio.NewScanner(f)
		s.Scan()
		words := strings.SplitN(strings.TrimPrefix(s.Text(), "# "), " ", 3)
		last := ""
		for s.Scan() {
			if strings.TrimSpace(s.Text()) != "" {
				last = s.Text()
			}
		}
		f.Close()
		p, _, err := protocol.Lookup(words[0])
		check(t, err)
		said, _ := exec.Command("sh", "-c", words[2]).CombinedOutput() // what it says tells
		version := firstLine(string(said))
		if version == "" || strings.Contains(version, "not found") || strings.Contains(string(said), "Cannot find module") {
			t.Logf("%s has no program here", file)
			continue
		}
		path, err := filepath.Abs(file)
		check(t, err)
		out = append(out, labClient{false, strings.TrimSuffix(filepath.Base(file), ".sh"), version, p, lab.Expect(words[1]), last, inLab(p, lab.Expect(words[1]), func(t *testing.T) lab.Client {
			c := &lab.Command{Argv: []string{"sh", path, "{host}", "{port}", "{user}", "{password}", "{ca}"}, Dir: shortDir(t), Timeout: 30 * time.Second}
			return c.Run
		})})
	}
	return out
}

func firstLine(s string) string {
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			return line[:min(len(line), 60)]
		}
	}
	return ""
}

// goClient is a client in Go, asked to insist on TLS.
func goClient(name, version string, p starttls.Protocol, command string, run func(ctx context.Context, c lab.Call, cfg *tls.Config) error) labClient {
	return labClient{false, name, version, p, lab.Required, command, inLab(p, lab.Required, func(*testing.T) lab.Client {
		return func(ctx context.Context, c lab.Call) lab.Ended {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			if err := run(ctx, c, &tls.Config{ServerName: c.Host, RootCAs: c.Roots}); err != nil {
				return lab.Ended{How: err.Error()}
			}
			return lab.Ended{How: "nil"}
		}
	})}
}

// ownClients are this library, once for each protocol: it asks what there is to
// ask inside TLS, and signs in where the protocol can.
func ownClients() (out []labClient) {
	for _, p := range protocol.All() {
		c := goClient("this library", "as built", p, "starttls.Dial, Probe, Authenticate", func(ctx context.Context, c lab.Call, cfg *tls.Config) error {
			x, err := starttls.Dial(ctx, c.Addr, p, &starttls.Config{TLS: cfg})
			if err != nil {
				return err
			}
			defer x.Close()
			h := x.Inside()
			if _, ok := p.(starttls.Prober); ok {
				told, err := x.Probe(ctx)
				if err != nil {
					return err
				}
				h.Auth = append(h.Auth, told.Auth...)
			}
			a, ok := p.(starttls.Authenticator)
			if !ok {
				return nil
			}
			if !slices.Contains(h.Auth, "PLAIN") {
				return errors.New("PLAIN is not listed")
			}
			w := x.Wire(ctx)
			defer w.Release()
			return a.Authenticate(w, "PLAIN", []byte("\x00"+c.User+"\x00"+c.Password), func([]byte) ([]byte, error) { return nil, errors.New("no more") })
		})
		c.own = true
		out = append(out, c)
	}
	return out
}

// goClients are libraries in Go.
func goClients() []labClient {
	return []labClient{
		goClient("net/smtp", goVersion(), protocol.Submission, "smtp.Dial, StartTLS, PlainAuth, Mail", func(_ context.Context, c lab.Call, cfg *tls.Config) error {
			x, err := smtp.Dial(c.Addr)
			if err != nil {
				return err
			}
			defer x.Close()
			if err := x.StartTLS(cfg); err != nil {
				return err
			}
			if err := x.Auth(smtp.PlainAuth("", c.User, c.Password, c.Host)); err != nil {
				return err
			}
			return x.Mail("a@example.test")
		}),
		goClient("go-imap", moduleVersion("github.com/emersion/go-imap/v2"), protocol.IMAP, "imapclient.DialStartTLS, Login, Select", func(_ context.Context, c lab.Call, cfg *tls.Config) error {
			x, err := imapclient.DialStartTLS(c.Addr, &imapclient.Options{TLSConfig: cfg})
			if err != nil {
				return err
			}
			defer x.Close()
			if err := x.Login(c.User, c.Password).Wait(); err != nil {
				return err
			}
			_, err = x.Select("INBOX", nil).Wait()
			return err
		}),
		goClient("go-ldap", moduleVersion("github.com/go-ldap/ldap/v3"), protocol.LDAP, "ldap.DialURL, StartTLS, Bind", func(_ context.Context, c lab.Call, cfg *tls.Config) error {
			x, err := ldapclient.DialURL("ldap://" + c.Addr)
			if err != nil {
				return err
			}
			defer x.Close()
			x.SetTimeout(10 * time.Second)
			if err := x.StartTLS(cfg); err != nil {
				return err
			}
			return x.Bind("cn="+c.User, c.Password)
		}),
		goClient("pgx", moduleVersion("github.com/jackc/pgx/v5"), protocol.PostgreSQL, "pgx.ConnectConfig with a TLSConfig, select 1", func(ctx context.Context, c lab.Call, cfg *tls.Config) error {
			p, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=x sslmode=require", c.Host, c.Port, c.User, c.Password))
			if err != nil {
				return err
			}
			p.TLSConfig, p.Fallbacks, p.DefaultQueryExecMode = cfg, nil, pgx.QueryExecModeSimpleProtocol
			x, err := pgx.ConnectConfig(ctx, p)
			if err != nil {
				return err
			}
			defer x.Close(ctx)
			_, err = x.Exec(ctx, "select 1")
			return err
		}),
		goClient("go-sql-driver/mysql", moduleVersion("github.com/go-sql-driver/mysql"), protocol.MySQL, "sql.Open with a TLSConfig, Ping", func(ctx context.Context, c lab.Call, cfg *tls.Config) error {
			m := mysqlclient.NewConfig()
			m.User, m.Passwd, m.Net, m.Addr, m.TLS, m.Timeout, m.ReadTimeout = c.User, c.Password, "tcp", c.Addr, cfg, 10*time.Second, 10*time.Second
			connector, err := mysqlclient.NewConnector(m)
			if err != nil {
				return err
			}
			db := sql.OpenDB(connector)
			defer db.Close()
			return db.PingContext(ctx)
		}),
	}
}

func goVersion() string { return commandOutput("go", "env", "GOVERSION") }

func moduleVersion(path string) string {
	return commandOutput("go", "list", "-m", "-f", "{{.Version}}", path)
}

func commandOutput(argv ...string) string {
	out, _ := exec.Command(argv[0], argv[1:]...).Output()
	return strings.TrimSpace(string(out))
}
