package interop

import (
	"fmt"
	"testing"
)

// INN: nnrpd by itself, without innd, over an empty spool with one group.
//
//	client -- nntp, STARTTLS --> nnrpd

type innOptions struct {
	Certificate certificate
	NoTLS       bool // no certificate configured
}

type inn struct {
	*server
	NNTP string // address; reading needs no sign-in; group local.test exists
}

func startINN(t testing.TB, o innOptions) *inn {
	t.Helper()
	const program = "/usr/lib/news/bin/nnrpd"
	n := &inn{server: newServer(t, "inn", program), NNTP: freeAddr(t)}
	for _, dir := range []string{"db", "log", "run", "spool/tmp", "overview"} {
		n.mkdir(t, dir)
	}
	n.write(t, "inn.conf", n.config(t, o), 0o644)
	n.write(t, "readers.conf", "auth all {\n  default: \"reader\"\n}\naccess all {\n  users: \"reader\"\n  newsgroups: \"*\"\n  access: RP\n}\n", 0o640)
	n.write(t, "storage.conf", "method tradspool {\n  newsgroups: *\n  class: 0\n}\n", 0o644)
	n.write(t, "db/active", "local.test 0000000000 0000000001 y\n", 0o644)
	n.write(t, "db/newsgroups", "local.test\tA group.\n", 0o644)
	n.write(t, "db/history", "", 0o644)
	n.write(t, "spool/tradspool.map", "", 0o644)
	n.giveTo(t, "news")
	n.prepare(t, "news", "", "/usr/lib/news/bin/makedbz", "-i", "-o", "-f", n.Dir+"/db/history")
	n.prepare(t, "news", "", "/usr/lib/news/bin/tdx-util", "-F", "-p", n.Dir+"/overview") // makes an empty index
	n.run(t, "news", []string{n.NNTP}, program, "-D", "-f", "-b", "127.0.0.1", "-p", portOf(n.NNTP), "-P", n.Dir+"/run/nnrpd.pid")
	return n
}

// config has no limit to the machine's load, above which INN serves nobody.
func (n *inn) config(t testing.TB, o innOptions) string {
	t.Helper()
	tls := ""
	if !o.NoTLS {
		cert, key := n.certify(t, o.Certificate)
		tls = fmt.Sprintf("tlscertfile: %s\ntlskeyfile: %s\ntlscafile: %s\n", cert, key, n.CAFile)
	}
	return fmt.Sprintf(`mta: "/bin/false"
pathhost: %[2]s
domain: %[3]s
fromhost: %[3]s
pathnews: /usr/lib/news
pathbin: /usr/lib/news/bin
pathetc: %[1]s
pathdb: %[1]s/db
pathlog: %[1]s/log
pathrun: %[1]s/run
pathtmp: %[1]s/spool/tmp
pathspool: %[1]s/spool
pathoverview: %[1]s/overview
hismethod: hisv6
enableoverview: true
ovmethod: tradindexed
nnrpdloadlimit: 0
%[4]s`, n.Dir, serverName, domain, tls)
}
