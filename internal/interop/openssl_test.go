package interop

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestPeersUpgradeWithOpenSSL proves the harness: every server is alive, and
// upgrades for a client that is not ours and verifies its certificate.
func TestPeersUpgradeWithOpenSSL(t *testing.T) {
	for _, c := range []struct {
		name string
		addr func(testing.TB) string
		args string // what s_client has to be told
	}{
		{"postfix/smtp", func(t testing.TB) string { return sharedPostfix(t).SMTP }, "-starttls smtp"},
		{"postfix/submission", func(t testing.TB) string { return sharedPostfix(t).Submission }, "-starttls smtp"},
		{"dovecot/imap", func(t testing.TB) string { return sharedDovecot(t).IMAP }, "-starttls imap"},
		{"dovecot/imaps", func(t testing.TB) string { return sharedDovecot(t).IMAPS }, ""},
		{"dovecot/pop3", func(t testing.TB) string { return sharedDovecot(t).POP3 }, "-starttls pop3"},
		{"dovecot/pop3s", func(t testing.TB) string { return sharedDovecot(t).POP3S }, ""},
		{"dovecot/lmtp", func(t testing.TB) string { return sharedDovecot(t).LMTP }, "-starttls lmtp"},
		{"dovecot/sieve", func(t testing.TB) string { return sharedDovecot(t).Sieve }, "-starttls sieve"},
		{"slapd/ldap", func(t testing.TB) string { return sharedSlapd(t).LDAP }, "-starttls ldap"},
		{"slapd/ldaps", func(t testing.TB) string { return sharedSlapd(t).LDAPS }, ""},
		{"prosody/c2s", func(t testing.TB) string { return sharedProsody(t).C2S }, "-starttls xmpp -xmpphost " + domain},
		{"prosody/s2s", func(t testing.TB) string { return sharedProsody(t).S2S }, "-starttls xmpp-server -xmpphost " + domain},
		{"proftpd", func(t testing.TB) string { return sharedProFTPD(t).FTP }, "-starttls ftp"},
		{"inn", func(t testing.TB) string { return sharedINN(t).NNTP }, "-starttls nntp"},
		{"inspircd", func(t testing.TB) string { return sharedInspIRCd(t).IRC }, "-starttls irc"},
		{"postgresql", func(t testing.TB) string { return sharedPostgres(t).Postgres }, "-starttls postgres"},
		{"mariadb", func(t testing.TB) string { return sharedMariaDB(t).MySQL }, "-starttls mysql"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := sClient(t, c.addr(t), c.args)
			if err != nil || !strings.Contains(out, "Verification: OK") {
				t.Errorf("s_client: %v\n%s", err, out)
			}
		})
	}
}

// TestPeersFaults proves that what the harness calls a fault is one, and that
// a server without TLS has none.
func TestPeersFaults(t *testing.T) {
	t.Parallel()
	p := sharedPostfix(t)
	for _, c := range []struct{ name, addr, want string }{
		{"expired", p.Expired, "certificate has expired"},
		{"other name", p.OtherName, "hostname mismatch"},
		{"self-signed", p.SelfSigned, "self-signed certificate"},
		{"no TLS", p.NoTLS, "Didn't find STARTTLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := sClient(t, c.addr, "-starttls smtp")
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("s_client: %v, want %q\n%s", err, c.want, out)
			}
		})
	}
}

// sClient runs openssl s_client to the end of the handshake and returns what
// it said. It verifies the certificate against the tests' root.
func sClient(t testing.TB, addr, args string) (string, error) {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl is not installed: run make peers")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, openssl, append([]string{"s_client", "-connect", addr, "-CAfile", authority(t).File,
		"-verify_return_error", "-verify_hostname", serverName, "-servername", serverName}, strings.Fields(args)...)...)
	out, err := cmd.CombinedOutput() // stdin is empty: it ends after the handshake
	return string(out), err
}
