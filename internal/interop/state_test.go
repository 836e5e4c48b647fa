package interop

import (
	"context"
	"maps"
	"net"
	"slices"
	"testing"
	"time"

	checks "example.org/starttls/check"
)

const (
	ownAddress = "Dovecot takes a client with its own address for one that needs no TLS"
	optional   = "it is set up to offer TLS, and not to require it"
)

// known is what check finds in real servers when it asks for everything, beside
// what their services are fine with, and why that is true. What is said of the
// sequence of commands was looked at byte by byte.
var known = map[string]map[string]string{
	"Postfix/smtp":       {"tls-logjam": "Debian's Postfix 3.7 has anonymous suites with a prime of 1024 bits", "tls-short-dh": "the same prime"},
	"Postfix/submission": {"tls-logjam": "as on port 25", "tls-short-dh": "as on port 25", "tls-anonymous": "as on port 25, where it is no fault"},
	"Dovecot/imap":       {"tls-not-required": ownAddress, "auth-cleartext": ownAddress},
	"Dovecot/pop3": {"tls-not-required": ownAddress, "auth-cleartext": ownAddress,
		"state-kept": "Dovecot 2.3 remembers USER across STLS: PASS with the right password, inside TLS, signs that user in"},
	"Dovecot/sieve":    {"tls-not-required": ownAddress, "auth-cleartext": ownAddress},
	"OpenLDAP/ldap":    {"tls-not-required": optional, "auth-cleartext": optional + ": a simple bind in clear gets 49", "tls-renegotiation-dos": "GnuTLS renegotiates without a limit"},
	"OpenLDAP/ldaps":   {"tls-renegotiation-dos": "GnuTLS renegotiates without a limit"},
	"CUPS/ipp":         {"tls-not-required": "DefaultEncryption IfRequested"},
	"nats-server/nats": {"tls-no-extended-master": "the Go that Debian's nats-server 2.9 is built with has no extended_master_secret"},
	"MariaDB/mysql":    {"tls-not-required": "only the user has REQUIRE SSL: a sign-in as nobody gets 1045 in clear"},
	"Exim/submission":  {"tls-not-required": optional},
	"Cyrus IMAP/pop3":  {"apop-clear": "APOP is offered in the greeting in clear, and gets [AUTH]"},
	"NUT/nut":          {"tls-renegotiation-dos": "NSS renegotiates without a limit"},
}

// fromElsewhere connects from another address of loopback.
func fromElsewhere(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	return d.DialContext(ctx, network, addr)
}

// elsewhere are the services of Dovecot to a client that it does not take for
// itself, and what is then left to find: nothing.
func elsewhere() (out []service) {
	for _, s := range services {
		if s.server == "Dovecot" && slices.Contains(s.fine, "auth-before-tls") {
			out = append(out, service{server: "Dovecot from elsewhere", scheme: s.scheme, addr: s.addr, dialer: fromElsewhere})
		}
	}
	return out
}

// With all tests there are, those with random credentials among them, check
// finds in real servers what is known of them, and nothing else.
func TestFullCheckOnRealServers(t *testing.T) {
	for _, s := range slices.Concat(services, elsewhere()) {
		t.Run(s.server+"/"+s.scheme, func(t *testing.T) {
			t.Parallel()
			s.skipIfErratic(t)
			r := checks.Run(t.Context(), s.target(t), checks.Options{Roots: authority(t).Pool, Name: s.reference(), Local: "client.example.test",
				Dialer: s.dialer, Soon: time.Hour, Level: checks.Intrusive, Full: true})
			found := map[string]string{}
			for _, f := range r.Findings {
				if f.Severity != checks.Info && !slices.Contains(s.fine, f.ID) {
					found[f.ID] = f.Detail
				}
			}
			want := known[s.server+"/"+s.scheme]
			if got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q\n%q", got, want, found)
			}
		})
	}
}

// What servers say of TLS in clear, and what they do, makes known whether they
// require it.
func TestRequiredOnRealServers(t *testing.T) {
	want := map[string]string{
		"Postfix/smtp": "no", "Postfix/submission": "yes", "Dovecot/imap": "no", "Dovecot/imaps": "yes", "Dovecot from elsewhere/imap": "yes",
		"Dovecot from elsewhere/pop3": "yes", "Dovecot from elsewhere/sieve": "yes", "OpenLDAP/ldap": "no", "Prosody/xmpp-client": "yes", "Prosody/xmpp-server": "yes",
		"ProFTPD/ftp": "yes", "INN/nntp": "yes", "InspIRCd/irc": "unknown", "PostgreSQL/postgresql": "yes", "CUPS/http": "no", "xrdp/rdp": "yes",
		"nats-server/nats": "yes", "nbdkit/nbd": "yes", "MariaDB/mysql": "unknown", "Exim/submission": "no", "Cyrus IMAP/imap": "yes", "vsftpd/ftp": "yes",
		"Pure-FTPd/ftp": "yes", "PgBouncer/postgresql": "yes", "QEMU/nbd": "yes", "NUT/nut": "no",
	}
	for _, s := range slices.Concat(services, elsewhere()) {
		want, ok := want[s.server+"/"+s.scheme]
		if !ok {
			continue
		}
		t.Run(s.server+"/"+s.scheme, func(t *testing.T) {
			t.Parallel()
			r := checks.Run(t.Context(), s.target(t), checks.Options{Roots: authority(t).Pool, Name: s.reference(), Local: "client.example.test", Dialer: s.dialer})
			if r.StartTLS.Required != want {
				t.Errorf("%q, want %q: %+v", r.StartTLS.Required, want, r.Findings)
			}
		})
	}
}
