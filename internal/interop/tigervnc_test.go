package interop

import "testing"

// Xtigervnc, an X server without a screen, that takes VeNCrypt's X509None alone.
//
//	client -- vnc, VeNCrypt --> Xtigervnc (GnuTLS)

type tigervnc struct {
	*server
	VNC string // address
}

func startTigerVNC(t testing.TB) *tigervnc {
	t.Helper()
	const program = "/usr/bin/Xtigervnc"
	v := &tigervnc{server: newServer(t, "Xtigervnc", program), VNC: freeAddr(t)}
	cert, key := v.certify(t, good)
	// A display's number names its socket; that of a free port is free as well.
	v.run(t, "root", []string{v.VNC}, program, ":"+portOf(v.VNC), "-rfbport", portOf(v.VNC), "-interface", "127.0.0.1", "-nolisten", "tcp",
		"-geometry", "64x64", "-SecurityTypes", "X509None", "-GnuTLSPriority", "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1", "-X509Cert", cert, "-X509Key", key)
	return v
}
