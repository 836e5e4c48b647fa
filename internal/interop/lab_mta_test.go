package interop

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/starttls/lab"
	"example.org/starttls/lab/mta"
)

// Real mail servers as senders, in the cases of lab/mta. They find the domains by
// Unbound, which validates the lab's zone by its trust anchor:
//
//	sender --+-- DNS --> Unbound -- DNS --> lab
//	         +-- SMTP ------------------> lab

// openMTA starts the lab, and Unbound in front of its zones.
func openMTA(t *testing.T, o mta.Options) (*mta.Lab, *unbound) {
	t.Helper()
	o.First = netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(250)), byte(rand.IntN(250)), 1})
	l, err := mta.Open(t.Context(), o)
	check(t, err)
	t.Cleanup(l.Close)
	return l, runUnbound(t, l.Unbound(), l.DNS)
}

// mtaSender is a mail server that the cases are shown to.
type mtaSender struct {
	peer, command string // as labClient has them
	version       []string
	https         int // port of the policy hosts, where it asks them
	start         func(t *testing.T, l *mta.Lab, u *unbound) mta.Client
	known         map[string]string // what it is not ok in: verdict and score
}

var mtaSenders = []mtaSender{
	// Postfix holds every case of DANE. It has no MTA-STS, and its reports are
	// another program's.
	{"Postfix with DANE", "smtp_tls_security_level = dane, smtp_dns_support_level = dnssec", postfixVersion, 0, postfixByDANE,
		merged(withoutSTS, withoutReports)},

	// With postfix-mta-sts-resolver it holds MTA-STS instead of DANE where there are
	// both, has a wildcard stand for several labels, and goes by what it knows for
	// a minute before it asks for a new policy.
	{"Postfix with DANE and postfix-mta-sts-resolver", "the same, smtp_tls_policy_maps = socketmap:inet:...:postfix", postfixVersion, 443, postfixWithSTS,
		merged(withoutReports, map[string]string{"dane-over-sts": "vulnerable 3t", "sts-wildcard-deep": "vulnerable 3t", "sts-new-id": "warn 3t"})},

	// Exim with GnuTLS goes by every digest there is, and takes no certificate for
	// the mail domain.
	{"Exim with DANE", "hosts_try_dane = *, dnssec_request_domains = *", []string{unpacked("exim4-daemon-light", "/usr/sbin/exim4"), "-C", "/dev/null", "-bV"}, 0, eximSender,
		merged(withoutSTS, withoutReports, map[string]string{"dane-agility": "warn 3t", "dane-ta-domain": "warn 0"})},
}

var (
	postfixVersion = []string{"postconf", "-d", "mail_version"}

	// withoutSTS is what becomes of a sender that does not know MTA-STS, and
	// withoutReports of one that writes none.
	withoutSTS = map[string]string{
		"sts-strip": "vulnerable 3", "sts-untrusted": "vulnerable 3t", "sts-name": "vulnerable 3t", "sts-expired": "vulnerable 3t", "sts-mx": "vulnerable 3t",
		"sts-wildcard-deep": "vulnerable 3t", "sts-next-mx": "vulnerable 3t", "sts-new-id": "warn 3t", "sts-cached": "vulnerable 3t", "sts-cached-forged": "vulnerable 3t",
	}
	withoutReports = map[string]string{"tlsrpt-mail": "info 0", "tlsrpt-https": "info 0"}
)

func merged(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// run has the sender meet the cases. Those that it can not be told of are left
// out.
func (s mtaSender) run(t *testing.T) (lab.Report, error) {
	l, u := openMTA(t, mta.Options{HTTPS: s.https})
	skip := func(c mta.Case) string {
		if c.Mail+c.Header != "" {
			return "it does not know " + c.Mail + c.Header
		}
		return ""
	}
	return l.Run(t.Context(), mta.RunOptions{Parallel: 12, Wait: time.Second, Skip: skip}, s.start(t, l, u))
}

// What is known of real senders is what they do.
func TestSenders(t *testing.T) {
	for _, s := range mtaSenders {
		t.Run(s.peer, func(t *testing.T) {
			t.Parallel()
			rep, err := s.run(t)
			check(t, err)
			for _, r := range rep.Results {
				got, want := fmt.Sprintf("%s %s", r.Verdict, r.Score), cmp.Or(s.known[r.Case], "ok 0")
				if r.Verdict != lab.Skipped && got != want {
					t.Errorf("%s: %s, want %s: %s; %s\n%s", r.Case, got, want, r.Detail, r.Client, strings.Join(r.Evidence, "\n"))
				}
			}
		})
	}
}

// labSenders are the rows of the senders in docs/clients.md.
func labSenders() (out []labClient) {
	for _, s := range mtaSenders {
		out = append(out, labClient{false, s.peer, firstLine(commandOutput(s.version...)), mta.Protocol, lab.Required, s.command, s.run})
	}
	return out
}

// resolvConf writes what has a program ask Unbound, and returns the words that
// start one so, in a mount namespace of its own.
func (s *server) resolvConf(t *testing.T, u *unbound) []string {
	t.Helper()
	file := s.write(t, "resolv.conf", "nameserver "+u.IP+"\noptions trust-ad timeout:3 attempts:4\n", 0o644)
	past := time.Now().Add(-time.Minute) // else Postfix waits to see whether the file is still being written
	check(t, os.Chtimes(file, past, past))
	return []string{"/usr/bin/unshare", "-m", "/bin/sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, file}
}

// startPostfixSender starts a Postfix that receives nothing, and sends by DANE,
// and by what more says.
func startPostfixSender(t *testing.T, l *mta.Lab, u *unbound, more string) *postfix {
	t.Helper()
	const program = "/usr/sbin/postfix"
	p := &postfix{server: newServer(t, "postfix", program, "/usr/lib/postfix/sbin/smtp", "/usr/bin/unshare")}
	root := p.write(t, "root.pem", string(l.RootPEM), 0o644)
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/postfix.log
maillog_file_prefixes = %[1]s
myhostname = %[2]s
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
dnssec_probe =
smtp_dns_support_level = dnssec
smtp_tls_security_level = dane
smtp_tls_CAfile = %[4]s
smtp_tcp_port = %[5]d
notify_classes =
%[3]s
`, p.Dir, serverName, more, root, l.Port)
	p.begin(t, main, postfixInner, nil, append(p.resolvConf(t, u), program)...)
	p.await(t, "start", func() bool { return strings.Contains(p.logs(), "daemon started") })
	return p
}

// send hands Postfix one message, from nobody, so that no bounce is sent, and
// waits until it has been delivered or put off.
func (p *postfix) send(t *testing.T) mta.Client {
	return func(ctx context.Context, c mta.Call) lab.Ended {
		said, err := runClient(t, "Subject: test\n\nA test.\n", []string{"MAIL_CONFIG=" + p.Dir}, "/usr/sbin/sendmail", "-f", "", c.To)
		if err != nil {
			return lab.Ended{How: err.Error() + ": " + said}
		}
		return lab.Ended{How: p.fate(ctx, c)}
	}
}

// fate waits for what the log says of the last message to a recipient.
func (p *postfix) fate(ctx context.Context, c mta.Call) string {
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(p.Dir, "postfix.log"))
		_, said, _ := strings.Cut(string(text), "to=<"+c.To+">")
		for range c.Run {
			_, said, _ = strings.Cut(said, "to=<"+c.To+">")
		}
		if _, status, ok := strings.Cut(said, "status="); ok {
			return firstLine(status)
		}
	}
	return "nothing is heard of it"
}

// postfixByDANE starts a Postfix that knows DANE alone.
func postfixByDANE(t *testing.T, l *mta.Lab, u *unbound) mta.Client {
	return startPostfixSender(t, l, u, "").send(t)
}

// postfixWithSTS starts one that asks postfix-mta-sts-resolver too.
func postfixWithSTS(t *testing.T, l *mta.Lab, u *unbound) mta.Client {
	return startPostfixSender(t, l, u, "smtp_tls_policy_maps = socketmap:inet:"+startSTSResolver(t, l, u)+":postfix").send(t)
}

// startSTSResolver starts postfix-mta-sts-resolver, which tells Postfix what the
// MTA-STS policy of a domain asks for, and returns where it does.
func startSTSResolver(t *testing.T, l *mta.Lab, u *unbound) string {
	t.Helper()
	const program = "/usr/bin/mta-sts-daemon"
	s, addr := newServer(t, "postfix-mta-sts-resolver", program, "/usr/bin/unshare"), freeAddr(t)
	conf := s.write(t, "conf.yml", "host: 127.0.0.1\nport: "+portOf(addr)+"\ncache: {type: internal}\n", 0o644)
	root := s.write(t, "root.pem", string(l.RootPEM), 0o644)
	s.run(t, "root", []string{addr}, append(s.resolvConf(t, u), "/usr/bin/env", "SSL_CERT_FILE="+root, program, "--config", conf)...)
	return addr
}

// eximSender writes Exim's configuration, by which it sends one message at a time
// and keeps no queue.
func eximSender(t *testing.T, l *mta.Lab, u *unbound) mta.Client {
	t.Helper()
	program := unpacked("exim4-daemon-light", "/usr/sbin/exim4")
	e := &exim{server: newServer(t, "exim4", program, "/usr/bin/unshare")}
	e.mkdir(t, "spool")
	conf := e.write(t, "exim.conf", fmt.Sprintf(`exim_path = %[2]s
exim_user = mail
exim_group = mail
keep_environment =
spool_directory = %[1]s/spool
log_file_path = %[1]s/%%s.log
primary_hostname = %[3]s
never_users =
dns_dnssec_ok = 1
begin routers
all:
  driver = dnslookup
  transport = out
  dnssec_request_domains = *
  self = send
begin transports
out:
  driver = smtp
  port = %[4]d
  allow_localhost
  dnssec_request_domains = *
  hosts_try_dane = *
  tls_verify_certificates = %[5]s
begin retry
* * F,1h,10m
`, e.Dir, program, serverName, l.Port, e.write(t, "root.pem", string(l.RootPEM), 0o644)), 0o644)
	e.giveTo(t, "mail")
	check(t, os.Chown(conf, 0, 0)) // it obeys only a configuration of root's
	e.logOnFailure(t)
	start := append(e.resolvConf(t, u), program, "-C", conf, "-odf", "-oi", "-f", "<>")
	return func(_ context.Context, c mta.Call) lab.Ended {
		said, err := runClient(t, "From: a@example.test\nSubject: test\n\nA test.\n", nil, start[0], append(start[1:len(start):len(start)], c.To)...)
		return lab.Ended{How: fmt.Sprint(said, err)}
	}
}
