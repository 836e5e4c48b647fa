package interop

import "testing"

// nats-server that requires TLS behind its INFO.
//
//	client -- nats, TLS at once --> nats-server (Go)

type natsServer struct {
	*server
	NATS string // address
}

func startNATS(t testing.TB) *natsServer {
	t.Helper()
	const program = "/usr/sbin/nats-server"
	n := &natsServer{server: newServer(t, "nats-server", program), NATS: freeAddr(t)}
	cert, key := n.certify(t, good)
	n.giveTo(t, "nobody")
	n.run(t, "nobody", []string{n.NATS}, program, "--addr", "127.0.0.1", "--port", portOf(n.NATS), "--tls", "--tlscert", cert, "--tlskey", key)
	return n
}
