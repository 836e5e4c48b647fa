package interop

import (
	"fmt"
	"testing"
)

// InspIRCd with modules ssl_gnutls and starttls: an empty network.
//
//	client -- irc, STARTTLS --> InspIRCd (GnuTLS)

type inspircdOptions struct {
	Certificate certificate
	NoTLS       bool // neither module: STARTTLS is an unknown command
}

type inspircd struct {
	*server
	IRC string // address
}

func startInspIRCd(t testing.TB, o inspircdOptions) *inspircd {
	t.Helper()
	const program = "/usr/sbin/inspircd"
	i := &inspircd{server: newServer(t, "inspircd", program), IRC: freeAddr(t)}
	conf := i.write(t, "inspircd.conf", i.config(t, o), 0o644)
	i.giveTo(t, "irc") // it refuses to be root
	i.run(t, "irc", []string{i.IRC}, program, "--config="+conf, "--nofork", "--nopid")
	return i
}

// config loads no host name look-up, so that nothing asks the DNS.
func (i *inspircd) config(t testing.TB, o inspircdOptions) string {
	t.Helper()
	tls := ""
	if !o.NoTLS {
		cert, key := i.certify(t, o.Certificate)
		tls = fmt.Sprintf(`<module name="ssl_gnutls">
<module name="starttls">
<sslprofile name="clients" provider="gnutls" certfile=%q keyfile=%q cafile=%q requestclientcert="no">
<starttls provider="clients">
`, cert, key, i.CAFile)
	}
	return fmt.Sprintf(`<server name=%[1]q description="test" network="Test">
<admin name="nobody" nick="nobody" email="nobody@%[2]s">
<bind address="127.0.0.1" port="%[3]s" type="clients">
<connect name="all" allow="*" timeout="10" resolvehostnames="no" useident="no" localmax="100" globalmax="100">
<files motd="/dev/null">
<log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="%[4]s/inspircd.log" flush="1">
<path datadir=%[4]q logdir=%[4]q runtimedir=%[4]q>
<module name="cap">
%[5]s`, serverName, domain, portOf(i.IRC), i.Dir, tls)
}
