package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	checks "example.org/starttls/check"
	"example.org/starttls/gateway"
)

// example is docs/gateway.toml, run as the command runs it, with nothing changed
// but addresses and paths. Behind it are servers in clear, as its comments say.
type example struct {
	addr map[string]string // of listeners, by their names
	mail *dovecot
}

var clientsPort = regexp.MustCompile(`":\d+"`)

func startExample(t *testing.T) *example {
	t.Helper()
	x := &example{addr: map[string]string{}}
	// What the comments ask for: Dovecot hears of clients by ID and by PROXY.
	x.mail = startDovecot(t, dovecotOptions{NoTLS: true, Main: `login_trusted_networks = 127.0.0.1
haproxy_trusted_networks = 127.0.0.1
service pop3-login {
  inet_listener pop3 {
    haproxy = yes
  }
}
`})
	mx := startPostfix(t, postfixOptions{Mail: x.mail, Main: clearMain})
	b, err := os.ReadFile("../../docs/gateway.toml")
	check(t, err)
	s := &server{Name: "gateway", Dir: shortDir(t)}
	live := s.mkdir(t, "live/"+domain)
	cert, err := authority(t).CA.Issue(nil, serverName, domain, "127.0.0.1", "localhost")
	check(t, err)
	certFile, keyFile := s.writePair(t, "gateway", cert)
	check(t, os.Link(certFile, filepath.Join(live, "fullchain.pem")))
	check(t, os.Link(keyFile, filepath.Join(live, "privkey.pem")))
	text := replaceAll(t, string(b),
		"127.0.0.1:9219", freeAddr(t), `"127.0.0.1:1025"`, `"`+freeAddr(t)+`"`,
		"/etc/ssl/mail.example.org/fullchain.pem", certFile, "/etc/ssl/mail.example.org/privkey.pem", keyFile,
		"/etc/letsencrypt/live", filepath.Dir(live), "/etc/ssl/clients.pem", authority(t).File,
		"127.0.0.1:2525", mx.NoTLS, "127.0.0.1:2587", mx.NoTLS, "127.0.0.1:1143", x.mail.IMAP, "127.0.0.1:1110", x.mail.POP3,
		"/run/slapd/ldapi", clearSlapd(t).LDAPI, "127.0.0.1:15432", clearPostgres(t).Postgres, "127.0.0.1:15222", clearProsody(t).C2S,
		"127.0.0.1:2121", clearProFTPD(t).FTP, "192.0.2.20:143", sharedDovecot(t).IMAP)
	text = clientsPort.ReplaceAllStringFunc(text, func(string) string { return `"` + freeAddr(t) + `"` })
	cfg, err := gateway.Parse(text)
	check(t, err)
	for _, l := range cfg.Listeners {
		x.addr[l.Name] = l.Listen[0]
	}
	file := s.write(t, "gateway.toml", text, 0o644)
	if out, err := exec.Command(command(t), "gateway", "-c", file, "--check-config").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.end = syscall.SIGTERM
	s.run(t, "root", []string{x.addr["mx"], x.addr["ftp"], x.addr["imap-guard"]}, command(t), "gateway", "-c", file)
	return x
}

// replaceAll replaces pairs, each of which must be there. It looks at nothing
// twice: an address that was put in may begin like one that is replaced.
func replaceAll(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if !strings.Contains(text, pair[0]) {
			t.Errorf("the example has no %s any more", pair[0])
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// The annotated example works as it stands: a mail client sends through it and
// reads the message, and check, with all it has, finds nothing wrong.
func TestGatewayExample(t *testing.T) {
	t.Parallel()
	x := startExample(t)
	t.Run("dialogue", x.dialogue)
	t.Run("check", x.checked)
}

// dialogue sends by swaks, in both forms of TLS, and reads by curl and mbsync.
func (x *example) dialogue(t *testing.T) {
	ca := authority(t).File
	for word, how := range map[string][]string{"by-starttls": {x.addr["submission"], "-tls"}, "by-implicit-tls": {x.addr["submissions"], "-tlsc"}} {
		out, err := swaks(t, how[0], how[1], "--tls-verify", "--tls-ca-path", ca, "--tls-sni", serverName, "--body", word)
		if err != nil || !strings.Contains(out, "Ok: queued") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := swaks(t, x.addr["submission"]); err == nil {
		t.Errorf("a client signed in in clear\n%s", out)
	}
	x.awaitMail(t, 2)
	for _, scheme := range []string{"imap", "imaps", "pop3"} {
		addr := x.addr[scheme]
		at := map[string]string{"imap": "INBOX/;MAILINDEX=1", "imaps": "INBOX/;MAILINDEX=1", "pop3": "1"}[scheme]
		out, err := runClient(t, "", nil, "curl", "-sS", "--ssl-reqd", "--cacert", ca, "--resolve", serverName+":"+portOf(addr)+":127.0.0.1",
			"-u", mailUser+":"+password, scheme+"://"+serverName+":"+portOf(addr)+"/"+at)
		if err != nil || !strings.Contains(out, "by-starttls") && !strings.Contains(out, "by-implicit-tls") {
			t.Errorf("curl %s: %v\n%s", scheme, err, out)
		}
	}
	dir := shortDir(t)
	rc := "IMAPAccount a\nHost localhost\nPort " + portOf(x.addr["imap"]) + "\nUser " + mailUser + "\nPass " + password + "\nSSLType STARTTLS\nSystemCertificates no\nCertificateFile " + ca + "\nAuthMechs LOGIN\n\n" +
		"IMAPStore far\nAccount a\n\nMaildirStore near\nPath " + dir + "/mail/\nInbox " + dir + "/mail/inbox\n\nChannel c\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSyncState *\n"
	check(t, os.MkdirAll(filepath.Join(dir, "mail"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600))
	out, err := runClient(t, "", nil, "mbsync", "-c", filepath.Join(dir, "rc"), "c")
	if got, _ := filepath.Glob(filepath.Join(dir, "mail/inbox/*/*")); err != nil || len(got) != 2 {
		t.Errorf("mbsync: %v, %q\n%s", err, got, out)
	}
}

// awaitMail waits for Dovecot to have n messages.
func (x *example) awaitMail(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		found, _ := filepath.Glob(filepath.Join(x.mail.Dir, "mail", mailUser, "Maildir/new/*"))
		if len(found) == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages came", len(found))
		}
	}
}

// checked runs check at level 3, with all tests that take long too.
func (x *example) checked(t *testing.T) {
	// Dovecot takes a client with its own address for one that needs no TLS, and
	// what it offers passes the guard, which sees to it that nobody takes that up.
	known := map[string]string{"imap-guard": "auth-before-tls"}
	for name, scheme := range map[string]string{"mx": "smtp", "submission": "submission", "submissions": "submissions", "imap": "imap", "imaps": "imaps", "pop3": "pop3",
		"ldap": "ldap", "postgresql": "postgresql", "xmpp": "xmpp-client", "ftp": "ftp", "imap-guard": "imap"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := service{scheme: scheme, addr: func(testing.TB) string { return x.addr[name] }}
			if scheme == "xmpp-client" {
				s.name = domain
			}
			r := checks.Run(t.Context(), s.target(t), checks.Options{Roots: authority(t).Pool, Name: s.reference(), Local: "client.example.test", Soon: time.Hour, Level: checks.Intrusive, Full: true})
			if r.Outcome != checks.Upgraded || r.Level != "verify" {
				t.Errorf("%s, level %s: %+v", r.Outcome, r.Level, r.Error)
			}
			for _, f := range r.Findings {
				if f.Severity != checks.Info && f.ID != known[name] {
					t.Errorf("%s: %s", f.ID, f.Detail)
				}
			}
		})
	}
}
