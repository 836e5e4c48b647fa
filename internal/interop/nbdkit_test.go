package interop

import "testing"

// nbdkit that requires TLS, with a disk in memory.
//
//	client -- nbd, STARTTLS --> nbdkit (GnuTLS)

type nbdkit struct {
	*server
	NBD string // address
}

func startNBDKit(t testing.TB) *nbdkit {
	t.Helper()
	const program = "/usr/bin/nbdkit"
	n := &nbdkit{server: newServer(t, "nbdkit", program), NBD: freeAddr(t)}
	n.tlsFolder(t)
	n.giveTo(t, "nobody")
	n.run(t, "nobody", []string{n.NBD}, program, "--foreground", "--tls=require", "--tls-certificates="+n.Dir,
		"--ipaddr=127.0.0.1", "--port="+portOf(n.NBD), "memory", "1M")
	return n
}
