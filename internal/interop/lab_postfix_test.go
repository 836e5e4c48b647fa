package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.org/starttls/lab"
	"example.org/starttls/protocol"
)

// postfixClients are Postfix as a sender, at each level of smtp_tls_security_level
// that asks for TLS and does not go by DNS.
func postfixClients(t *testing.T) (out []labClient) {
	version := firstLine(commandOutput("postconf", "-h", "mail_version"))
	if version == "" {
		t.Log("Postfix is not here")
		return nil
	}
	for _, level := range []string{"may", "encrypt", "verify", "secure"} {
		expect := lab.Required
		if level == "may" {
			expect = lab.Opportunistic
		}
		out = append(out, labClient{false, "postfix-" + level, "Postfix " + version, protocol.SMTP, expect, "smtp_tls_security_level = " + level,
			inLab(protocol.SMTP, expect, func(t *testing.T) lab.Client { return startPostfixAt(t, level) })})
	}
	return out
}

// startPostfixAt starts a Postfix that receives nothing from the network and sends
// at that level, where the head of a message says. What can not be delivered at
// once is not tried again: another case may be at that port by then.
func startPostfixAt(t *testing.T, level string) lab.Client {
	t.Helper()
	const program = "/usr/sbin/postfix"
	p := &postfix{server: newServer(t, "postfix", program, "/usr/lib/postfix/sbin/smtp")}
	root := filepath.Join(p.Dir, "root.pem")
	p.write(t, "checks", "/^X-Next-Hop: (.*)$/ FILTER smtp:$1\n", 0o644)
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
disable_dns_lookups = yes
smtp_host_lookup = native
header_checks = regexp:%[1]s/checks
maximal_queue_lifetime = 0
bounce_queue_lifetime = 0
notify_classes =
smtp_connection_cache_on_demand = no
smtp_connect_timeout = 5s
smtp_helo_timeout = 5s
smtp_starttls_timeout = 5s
smtp_mail_timeout = 5s
smtp_rcpt_timeout = 5s
smtp_data_init_timeout = 5s
smtp_data_done_timeout = 5s
smtp_quit_timeout = 5s
smtp_tls_security_level = %[3]s
smtp_tls_CAfile = %[4]s
`, p.Dir, serverName, level, root)
	p.begin(t, main, postfixInner, nil, program)
	p.await(t, "start", func() bool { return strings.Contains(p.mailLog(), "daemon started") })
	var trust sync.Once
	var sent atomic.Int32
	return func(ctx context.Context, c lab.Call) lab.Ended {
		trust.Do(func() { os.WriteFile(root, c.RootPEM, 0o644) }) // before any process that sends has begun
		to := fmt.Sprintf("to%d@%s", sent.Add(1), domain)
		message := fmt.Sprintf("X-Next-Hop: [%s]:%s\nSubject: x\n\ny\n", c.Host, c.Port)
		if said, err := runClient(t, message, []string{"MAIL_CONFIG=" + p.Dir}, "/usr/sbin/sendmail", "-f", "", to); err != nil {
			return lab.Ended{How: err.Error() + ": " + said}
		}
		for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			_, said, _ := strings.Cut(p.mailLog(), " to=<"+to+">, relay=")
			if _, status, ok := strings.Cut(said, "status="); ok {
				return lab.Ended{How: firstLine(status)}
			}
		}
		return lab.Ended{How: "nothing is heard of it"}
	}
}

func (p *postfix) mailLog() string {
	text, _ := os.ReadFile(filepath.Join(p.Dir, "postfix.log")) // it may not be there yet
	return string(text)
}
