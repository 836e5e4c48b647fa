package interop

import (
	"os"
	"path/filepath"
	"testing"
)

// qemu-nbd that requires TLS, with an empty disk.
//
//	client -- nbd, STARTTLS --> qemu-nbd (GnuTLS)

type qemuNBD struct {
	*server
	NBD string // address
}

func startQemuNBD(t testing.TB) *qemuNBD {
	t.Helper()
	const program = "/usr/bin/qemu-nbd"
	q := &qemuNBD{server: newServer(t, "qemu-nbd", program), NBD: freeAddr(t)}
	disk := q.write(t, "disk", "", 0o644)
	check(t, os.Truncate(disk, 1<<20))
	q.tlsFolder(t)
	q.giveTo(t, "nobody")
	q.run(t, "nobody", []string{q.NBD}, program, "--persistent", "--shared=0", "--format=raw", "--bind=127.0.0.1", "--port="+portOf(q.NBD),
		"--object", "tls-creds-x509,id=tls,endpoint=server,verify-peer=no,dir="+q.Dir, "--tls-creds=tls", disk)
	return q
}

// tlsFolder lays root, certificate and key into the server's folder, by the
// names that nbdkit and QEMU look for.
func (s *server) tlsFolder(t testing.TB) {
	t.Helper()
	cert, key := s.certify(t, good)
	root, err := os.ReadFile(s.CAFile)
	check(t, err)
	s.write(t, "ca-cert.pem", string(root), 0o644)
	check(t, os.Rename(cert, filepath.Join(s.Dir, "server-cert.pem")))
	check(t, os.Rename(key, filepath.Join(s.Dir, "server-key.pem")))
}
