package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/gateway"
	"example.org/starttls/internal/testdns"
	"example.org/starttls/policy"
	"example.org/starttls/policy/dane"
	"example.org/starttls/policy/dnssec"
	"example.org/starttls/protocol"
)

// DANE verdicts, ours and posttls-finger's, of the same Postfix by the same
// zones through the same Unbound:
//
//	policy.Finder  --+-- DNS --> Unbound -- DNS --> testdns
//	posttls-finger --+
//	                 +-- SMTP --> Postfix

// finger runs posttls-finger with Unbound as its resolver, in a mount namespace
// of its own, and returns its verdict.
func finger(t *testing.T, u *unbound, destination string) (verdict, said string) {
	t.Helper()
	conf := shortDir(t)
	for name, text := range map[string]string{
		"resolv.conf": "nameserver " + u.IP + "\noptions trust-ad timeout:5 attempts:1\n",
		"main.cf":     "compatibility_level = 3.6\nsmtp_dns_support_level = dnssec\ndnssec_probe =\ninet_protocols = ipv4\nqueue_directory = " + conf + "\n",
	} {
		file := filepath.Join(conf, name)
		check(t, os.WriteFile(file, []byte(text), 0o644))
		past := time.Now().Add(-time.Minute) // else Postfix waits to see whether the file is still being written
		check(t, os.Chtimes(file, past, past))
	}
	said, err := runClient(t, "", []string{"MAIL_CONFIG=" + conf}, "unshare", "-m", "sh", "-c",
		`mount --bind "$MAIL_CONFIG/resolv.conf" /etc/resolv.conf && exec posttls-finger -c -l dane-only "$0"`, destination)
	if err != nil && strings.Contains(said, "Operation not permitted") {
		missing(t, "no mount namespace can be made, which posttls-finger needs to have a resolver of its own")
	}
	for part, v := range map[string]string{
		"Verified TLS connection established": "dane",
		"Trusted TLS connection established":  "dane", // to a host that an unsigned MX record names
		"no TLSA records found":               "none",
		"no usable TLSA records found":        "encrypt",
		"all TLSA records unusable":           "encrypt",
		"TLSA lookup error":                   "tempfail",
		"address lookup failed":               "tempfail",
		"Untrusted TLS connection":            "refused",
	} {
		if strings.Contains(said, part) && (verdict == "" || verdict == "refused") {
			verdict = v
		}
	}
	return verdict, said
}

// daneVerdict is the verdict of package policy on the host that destination names, and
// on the connection to it.
func daneVerdict(t *testing.T, u *unbound, destination string) (verdict, why string) {
	t.Helper()
	name, port, _ := strings.Cut(destination, ":")
	var number uint16
	fmt.Sscan(port, &number)
	r := dnssec.At(u.DNS)
	h := policy.Host{MXSecure: true}
	if host, direct := strings.CutPrefix(strings.TrimSuffix(name, "]"), "["); direct {
		h.Name, h.Domain = host, host
		h.DANE = dane.Lookup(t.Context(), r, dane.Service{Host: host, Port: number, Names: []string{host}})
	} else {
		d, err := (&policy.Finder{DNS: r, Port: number}).Domain(t.Context(), name)
		if err != nil {
			return "tempfail", err.Error()
		}
		h = d.Hosts[0]
	}
	d := policy.Effective(policy.May, h)
	if h.DANE.Demand != dane.Authenticate {
		return h.DANE.Demand.String(), d.Reason
	}
	state := tlsState(t, "127.0.0.1:"+port, d.ServerName())
	if err := d.Verify(state, nil); err != nil {
		var e *policy.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %T", destination, err)
		}
		return "refused", err.Error()
	}
	return "dane", d.Reason
}

// tlsState upgrades to TLS without verification and tells what was negotiated.
func tlsState(t *testing.T, addr, name string) *tls.ConnectionState {
	t.Helper()
	conn, err := starttls.Dial(context.Background(), addr, protocol.SMTP, &starttls.Config{
		ServerName: name, TLS: &tls.Config{InsecureSkipVerify: true}})
	check(t, err)
	defer conn.Close()
	state := conn.TLS().ConnectionState()
	return &state
}

func TestDANEAgreesWithPosttlsFinger(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, postfixOptions{Certificate: chained}) // the others come without their issuer
	leaf, misnamed, expired, self := leafAt(t, p.SMTP), leafAt(t, p.OtherName), leafAt(t, p.Expired), leafAt(t, p.SelfSigned)
	root := authority(t).CA.Certificate
	ee := func(s dane.Selector, m dane.Matching, c *x509.Certificate) string {
		return dane.NewRecord(dane.DANEEE, s, m, c).String()
	}
	ta := func(s dane.Selector, m dane.Matching, c *x509.Certificate) string {
		return dane.NewRecord(dane.DANETA, s, m, c).String()
	}
	matching, digest := ee(dane.SPKI, dane.SHA256, leaf), strings.Repeat("ab", 32)
	const elsewhere = "unsigned.test"

	cases := []struct {
		name    string
		at      string // address of the server
		records []string
		want    string

		host     string // in the place of one of the case's own
		zone     string // further text of the signed zone, or in the place of the host's address; $ is the host's first label
		unsigned string // text of the unsigned zone
		to       string // destination, in the place of the host itself
		broken   bool   // the signature of the records
	}{
		{name: "3 1 1", at: p.SMTP, records: []string{matching}, want: "dane"},
		{name: "3 1 2", at: p.SMTP, records: []string{ee(dane.SPKI, dane.SHA512, leaf)}, want: "dane"},
		{name: "3 0 0", at: p.SMTP, records: []string{ee(dane.Cert, dane.Full, leaf)}, want: "dane"},
		{name: "3 1 1 of another key", at: p.SMTP, records: []string{"3 1 1 " + digest}, want: "refused"},
		{name: "rollover", at: p.SMTP, records: []string{"3 1 1 " + digest, matching}, want: "dane"},
		{name: "3 0 1, expired", at: p.Expired, records: []string{ee(dane.Cert, dane.SHA256, expired)}, want: "dane"},
		{name: "3 1 1, other name", at: p.OtherName, records: []string{ee(dane.SPKI, dane.SHA256, misnamed)}, want: "dane"},
		{name: "3 1 1, self-signed", at: p.SelfSigned, records: []string{ee(dane.SPKI, dane.SHA256, self)}, want: "dane"},
		{name: "2 0 1", at: p.SMTP, records: []string{ta(dane.Cert, dane.SHA256, root)}, want: "dane"},
		{name: "2 1 1", at: p.SMTP, records: []string{ta(dane.SPKI, dane.SHA256, root)}, want: "dane"},
		{name: "2 0 1 of another", at: p.SMTP, records: []string{"2 0 1 " + digest}, want: "refused"},
		{name: "2 0 1 of the certificate itself", at: p.SMTP, records: []string{ta(dane.Cert, dane.SHA256, leaf)}, want: "refused"},
		{name: "2 0 0, other name", at: p.OtherName, records: []string{ta(dane.Cert, dane.Full, root)}, want: "refused"},
		{name: "2 1 0, other name", at: p.OtherName, records: []string{ta(dane.SPKI, dane.Full, root)}, want: "refused"},
		{name: "2 0 0, expired", at: p.Expired, host: serverName, records: []string{ta(dane.Cert, dane.Full, root)}, want: "refused"},
		{name: "2 0 1, its issuer not served", at: p.Expired, records: []string{ta(dane.Cert, dane.SHA256, root)}, want: "refused"},
		{name: "digest agility", at: p.SMTP, records: []string{matching, "3 1 2 " + digest + digest}, want: "refused"},
		{name: "usage 1 alone", at: p.SMTP, records: []string{"1 1 1 " + digest}, want: "encrypt"},
		{name: "malformed digest alone", at: p.SMTP, records: []string{"3 1 1 abab"}, want: "encrypt"},
		{name: "usage 1 beside 3", at: p.SMTP, records: []string{"1 1 1 " + digest, matching}, want: "dane"},
		{name: "no records", at: p.SMTP, want: "none"},
		{name: "bogus records", at: p.SMTP, records: []string{matching}, broken: true, want: "tempfail"},
		{name: "unsigned zone", at: p.SMTP, host: "u." + elsewhere, unsigned: "u A 127.0.0.1", want: "none"},
		{name: "alias, records at its end", at: p.SMTP, records: []string{matching}, zone: "$ A 127.0.0.1\na CNAME $", to: "[a.example.test]", want: "dane"},
		{name: "alias into the unsigned zone", at: p.SMTP, records: []string{matching}, zone: "$ CNAME host." + elsewhere + ".", unsigned: "host A 127.0.0.1", want: "dane"},
		{name: "unsigned alias", at: p.SMTP, records: []string{"3 1 1 " + digest}, unsigned: "$ CNAME $.example.test.", zone: "$ A 127.0.0.1", to: "[$." + elsewhere + "]", want: "none"},
		{name: "alias of the records", at: p.SMTP, zone: "$ A 127.0.0.1\n_%._tcp.$ CNAME tlsa\ntlsa TLSA " + ta(dane.Cert, dane.SHA256, root), want: "dane"},
		{name: "MX", at: p.SMTP, records: []string{matching}, zone: "$ A 127.0.0.1\nd1 MX 10 $", to: "d1.example.test", want: "dane"},
		{name: "MX, name of the domain", at: p.SMTP, host: "below.mx.example.test", records: []string{ta(dane.Cert, dane.SHA256, root)}, zone: "below.mx A 127.0.0.1\nd2 MX 10 below.mx", to: "d2.example.test", want: "dane"},
		{name: "MX, name of neither", at: p.OtherName, records: []string{ta(dane.Cert, dane.Full, root)}, zone: "$ A 127.0.0.1\nd3 MX 10 $", to: "d3.example.test", want: "refused"},
		{name: "unsigned MX", at: p.SMTP, records: []string{matching}, zone: "$ A 127.0.0.1", unsigned: "d4 MX 10 $.example.test.", to: "d4." + elsewhere, want: "dane"},
		{name: "unsigned MX, another key", at: p.SMTP, records: []string{"3 1 1 " + digest}, zone: "$ A 127.0.0.1", unsigned: "d5 MX 10 $.example.test.", to: "d5." + elsewhere, want: "refused"},
		{name: "no such domain", at: p.SMTP, to: "nowhere.example.test", want: "tempfail"},
	}
	signed, unsigned := testdns.Zone{Origin: domain, State: testdns.Signed}, testdns.Zone{Origin: elsewhere}
	for i := range cases {
		c := &cases[i]
		label := fmt.Sprintf("h%d", i)
		if c.host == "" {
			c.host = label + "." + domain
		}
		if c.zone == "" && c.unsigned == "" {
			c.zone = c.host + ". A 127.0.0.1"
		}
		if c.to == "" {
			c.to = "[" + c.host + "]"
		}
		owner := "_" + portOf(c.at) + "._tcp." + c.host + "."
		fill := strings.NewReplacer("$", label, "%", portOf(c.at))
		c.to = fill.Replace(c.to) + ":" + portOf(c.at)
		signed.Text += fill.Replace(c.zone) + "\n"
		unsigned.Text += fill.Replace(c.unsigned) + "\n"
		for _, r := range c.records {
			signed.Text += owner + " TLSA " + r + "\n"
		}
		if c.broken {
			signed.Broken = append(signed.Broken, owner)
		}
	}
	u := startUnbound(t, signed, unsigned)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			our, why := daneVerdict(t, u, c.to)
			theirs, said := finger(t, u, c.to)
			if our != c.want || theirs != c.want {
				t.Errorf("want %s\nours: %s: %s\nposttls-finger's: %s\n%s", c.want, our, why, theirs, said)
			}
		})
	}
}

// leafAt is the certificate that is served there.
func leafAt(t *testing.T, addr string) *x509.Certificate {
	t.Helper()
	return tlsState(t, addr, serverName).PeerCertificates[0]
}

// The gateway, in mode originate, towards the same Postfix by Unbound's word: a
// server that its records stand for, though no authority does, and no other.
func TestGatewayByDANE(t *testing.T) {
	t.Parallel()
	p := sharedPostfix(t)
	right := dane.NewRecord(dane.DANEEE, dane.SPKI, dane.SHA256, leafAt(t, p.SelfSigned)).String()
	other := "3 1 1 " + strings.Repeat("ab", 32)
	port := portOf(p.SelfSigned)
	owner := func(host string) string { return "_" + port + "._tcp." + host + "." }
	signed := testdns.Zone{Origin: domain, State: testdns.Signed, Broken: []string{owner("bogus." + domain)}}
	for host, record := range map[string]string{"right": right, "other": other, "bogus": right} {
		signed.Text += host + " A 127.0.0.1\n_" + port + "._tcp." + host + " TLSA " + record + "\n"
	}
	signed.Text += "none A 127.0.0.1\n"
	u := startUnbound(t, signed, testdns.Zone{Origin: "unsigned.test", Text: "right A 127.0.0.1\n_" + port + "._tcp.right TLSA " + right})
	for host, want := range map[string]string{
		"right." + domain: `"backend_level":"dane"`, "other." + domain: "is not one that the TLSA records", "bogus." + domain: "DNSSEC validation failed",
		"none." + domain: "there is no TLSA record", "right.unsigned.test": "is not signed",
	} {
		g := startGate(t, gateway.Listener{Mode: "originate", Protocol: "smtp", Backend: gateway.Backend{Address: host + ":" + port, Verify: "dane", Resolver: u.DNS}})
		said, err := runClient(t, "", nil, "swaks", "--server", "127.0.0.1", "-p", g.port(), "--from", "a@example.test", "--to", mailUser)
		if ok := strings.Contains(said, "Ok: queued"); ok != (err == nil) || ok != (host == "right."+domain) || !ok && !strings.Contains(said, "421 4.3.2") {
			t.Errorf("%s: %v\n%s", host, err, said)
		}
		if g.Shutdown(); !strings.Contains(g.log.String(), want) {
			t.Errorf("%s: the log does not say %q:\n%s", host, want, g.log)
		}
	}
}
