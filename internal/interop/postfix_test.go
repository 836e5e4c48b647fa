package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postfix: one instance whose smtpd listens at many ports, each with its own
// idea of TLS. Mail for mailUser goes to Dovecot; no other mail leaves it.
//
//	client -- smtp, submission --> smtpd -- queue --> lmtp -- unix socket --> Dovecot
//	                                 +--- SASL ------------ unix socket ---> Dovecot

type postfixOptions struct {
	Mail        *dovecot    // takes the mail and checks passwords; nil: mail is discarded, nobody can sign in
	Certificate certificate // of SMTP, Submission and ClientCert
	Main        []string    // lines to add to main.cf, "smtpd_tls_mandatory_protocols = TLSv1.2"
}

type postfix struct {
	*server
	SMTP       string // STARTTLS offered (security level may)
	Submission string // STARTTLS required (encrypt), AUTH inside it, and without AUTH no mail
	NoTLS      string // STARTTLS neither offered nor understood (none)
	ClientCert string // completes the handshake, then wants a client certificate

	Expired, OtherName, SelfSigned string // as SMTP, with such certificates
}

func startPostfix(t testing.TB, o postfixOptions) *postfix {
	t.Helper()
	const program = "/usr/sbin/postfix"
	p := &postfix{server: newServer(t, "postfix", program, "/usr/lib/postfix/sbin/smtpd")}
	master, addrs := p.services(t)
	p.begin(t, p.main(t, o), master, addrs, program)
	return p
}

// begin writes the configuration and starts Postfix, which argv runs.
func (p *postfix) begin(t testing.TB, main, master string, addrs []string, argv ...string) {
	t.Helper()
	p.write(t, "main.cf", main, 0o644)
	p.write(t, "master.cf", master, 0o644)
	check(t, os.Mkdir(filepath.Join(p.Dir, "queue"), 0o755))
	check(t, os.Mkdir(filepath.Join(p.Dir, "data"), 0o700))
	id := credential(t, "postfix")
	check(t, os.Chown(filepath.Join(p.Dir, "data"), int(id.Uid), int(id.Gid)))
	p.run(t, "root", addrs, append(argv, "-c", p.Dir, "start-fg")...)
	t.Cleanup(func() { p.endMaster(t) })
}

// endMaster ends Postfix's master, which leaves the process group that it was
// started in for one of its own, and takes its children with it.
func (p *postfix) endMaster(t testing.TB) {
	text, err := os.ReadFile(filepath.Join(p.Dir, "queue/pid/master.pid"))
	check(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	check(t, err)
	_ = syscall.Kill(pid, syscall.SIGTERM)
}

// services chooses the addresses and returns them with the master.cf for them.
func (p *postfix) services(t testing.TB) (master string, addrs []string) {
	t.Helper()
	smtpd := func(addr *string, settings ...string) {
		*addr = freeAddr(t)
		addrs = append(addrs, *addr)
		master += *addr + " inet n - n - - smtpd\n"
		for _, s := range settings {
			master += "  -o " + s + "\n"
		}
	}
	cert := func(kind certificate) []string {
		c, k := p.certify(t, kind)
		return []string{"smtpd_tls_cert_file=" + c, "smtpd_tls_key_file=" + k}
	}
	smtpd(&p.SMTP)
	smtpd(&p.Submission, "smtpd_tls_security_level=encrypt", "smtpd_sasl_auth_enable=$st_sasl",
		"smtpd_relay_restrictions=permit_sasl_authenticated,reject")
	smtpd(&p.NoTLS, "smtpd_tls_security_level=none")
	smtpd(&p.ClientCert, "smtpd_tls_security_level=encrypt", "smtpd_tls_req_ccert=yes", "smtpd_tls_CAfile="+p.CAFile)
	smtpd(&p.Expired, cert(expired)...)
	smtpd(&p.OtherName, cert(otherName)...)
	smtpd(&p.SelfSigned, cert(selfSigned)...)
	return master + postfixInner, addrs
}

// postfixInner are the services that every Postfix has, none of them chrooted.
const postfixInner = `pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

func (p *postfix) main(t testing.TB, o postfixOptions) string {
	t.Helper()
	cert, key := p.certify(t, o.Certificate)
	transport, sasl := "discard:", "st_sasl = no"
	if o.Mail != nil {
		transport = "lmtp:unix:" + o.Mail.lmtpSocket
		sasl = "st_sasl = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = " + o.Mail.authSocket
	}
	conf := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/postfix.log
maillog_file_prefixes = %[1]s
myhostname = %[2]s
mydomain = %[3]s
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
# Nothing asks the DNS, and nothing is sent anywhere but to Dovecot.
disable_dns_lookups = yes
smtpd_peername_lookup = no
default_transport = discard:
relay_transport = discard:
virtual_mailbox_domains = %[3]s
virtual_mailbox_maps = inline:{%[4]s=yes}
virtual_transport = %[5]s
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = %[6]s
smtpd_tls_key_file = %[7]s
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
%[8]s
`, p.Dir, serverName, domain, mailUser, transport, cert, key, sasl)
	// An entry that is there twice has every process warn of it when it starts, the
	// one that keeps the log too: that waits for ever for room for its own warning
	// if the others were faster.
	for _, entry := range o.Main {
		name, _, _ := strings.Cut(entry, " ")
		conf = regexp.MustCompile(`(?m)^`+name+` = .*\n`).ReplaceAllString(conf, "") + entry + "\n"
	}
	return conf
}
