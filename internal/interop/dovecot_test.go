package interop

import (
	"fmt"
	"path/filepath"
	"testing"
)

// Dovecot: one instance, one passwd-file user, mail in a folder of its own.
//
//	client -- imap, pop3, sieve, lmtp (STARTTLS), imaps, pop3s --> Dovecot
//	Postfix -- unix sockets: LMTP (mail), auth (SASL) ----------> Dovecot
//
// TLS is required, but Dovecot takes a connection for secured where the
// client's address equals its own: its LOGINDISABLED shows only to a client
// that connects from 127.0.0.2 or so.

type dovecotOptions struct {
	Certificate certificate
	NoTLS       bool   // ssl=no, and clear passwords are let in; IMAPS and POP3S are then empty
	Main        string // to add to dovecot.conf
}

type dovecot struct {
	*server
	IMAP, IMAPS, POP3, POP3S, LMTP, Sieve string // addresses; the user is mailUser with password

	lmtpSocket, authSocket string // for Postfix
}

func startDovecot(t testing.TB, o dovecotOptions) *dovecot {
	t.Helper()
	const program = "/usr/sbin/dovecot"
	const lib = "/usr/lib/dovecot/"
	d := &dovecot{server: newServer(t, "dovecot", program, lib+"imap", lib+"pop3", lib+"lmtp", lib+"managesieve")}
	d.IMAP, d.POP3, d.LMTP, d.Sieve = freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	addrs := []string{d.IMAP, d.POP3, d.LMTP, d.Sieve}
	if !o.NoTLS {
		d.IMAPS, d.POP3S = freeAddr(t), freeAddr(t)
		addrs = append(addrs, d.IMAPS, d.POP3S)
	}
	d.lmtpSocket = filepath.Join(d.Dir, "run", "lmtp")
	d.authSocket = filepath.Join(d.Dir, "run", "auth-postfix")
	d.mkdir(t, "mail")
	d.giveMail(t)
	d.write(t, "users", mailUser+":{PLAIN}"+password+"\n", 0o644)
	conf := d.write(t, "dovecot.conf", d.config()+d.listeners()+d.tls(t, o)+o.Main, 0o644)
	d.run(t, "root", addrs, program, "-F", "-c", conf)
	return d
}

// giveMail lets Dovecot's mail processes, which run as mail, write there.
func (d *dovecot) giveMail(t testing.TB) {
	t.Helper()
	d.prepare(t, "root", "", "/bin/chown", "mail:mail", filepath.Join(d.Dir, "mail"))
}

func (d *dovecot) config() string {
	return fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
protocols = imap pop3 lmtp sieve
listen = 127.0.0.1
hostname = %[2]s
postmaster_address = postmaster@%[3]s
auth_mechanisms = plain login scram-sha-256
# Failed sign-ins are what tests do; do not make them wait.
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = static
  args = uid=mail gid=mail home=%[1]s/mail/%%u
}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
`, d.Dir, serverName, domain)
}

func (d *dovecot) listeners() string {
	port := func(addr string) string {
		if addr == "" {
			return "0" // off
		}
		return portOf(addr)
	}
	return fmt.Sprintf(`service imap-login {
  inet_listener imap {
    port = %s
  }
  inet_listener imaps {
    port = %s
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = %s
  }
  inet_listener pop3s {
    port = %s
    ssl = yes
  }
}
service managesieve-login {
  inet_listener sieve {
    port = %s
  }
}
service lmtp {
  inet_listener lmtp {
    port = %s
  }
  unix_listener lmtp {
    mode = 0666
  }
}
service auth {
  unix_listener auth-postfix {
    mode = 0666
  }
}
`, port(d.IMAP), port(d.IMAPS), port(d.POP3), port(d.POP3S), port(d.Sieve), port(d.LMTP))
}

func (d *dovecot) tls(t testing.TB, o dovecotOptions) string {
	if o.NoTLS {
		return "ssl = no\ndisable_plaintext_auth = no\n"
	}
	cert, key := d.certify(t, o.Certificate)
	return fmt.Sprintf("ssl = required\nssl_cert = <%s\nssl_key = <%s\ndisable_plaintext_auth = yes\n", cert, key)
}
