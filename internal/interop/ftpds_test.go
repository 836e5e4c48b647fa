package interop

import (
	"fmt"
	"os"
	"testing"
)

// Two more FTP servers, unpacked beside the system's ProFTPD. Nobody can sign in.
//
//	client -- ftp, AUTH TLS --> vsftpd (OpenSSL), pure-ftpd (OpenSSL)

type ftpd struct {
	*server
	FTP string // address
}

func startVsftpd(t testing.TB) *ftpd {
	t.Helper()
	program := unpacked("vsftpd", "/usr/sbin/vsftpd")
	f := &ftpd{server: newServer(t, "vsftpd", program), FTP: freeAddr(t)}
	cert, key := f.certify(t, good)
	conf := f.write(t, "vsftpd.conf", fmt.Sprintf(`background=NO
listen=YES
listen_address=127.0.0.1
listen_port=%s
secure_chroot_dir=%s
anonymous_enable=NO
local_enable=YES
ssl_enable=YES
rsa_cert_file=%s
rsa_private_key_file=%s
`, portOf(f.FTP), f.mkdir(t, "empty"), cert, key), 0o644)
	f.run(t, "root", []string{f.FTP}, program, conf)
	return f
}

func startPureFTPd(t testing.TB) *ftpd {
	t.Helper()
	program := unpacked("pure-ftpd", "/usr/sbin/pure-ftpd")
	f := &ftpd{server: newServer(t, "pure-ftpd", program), FTP: freeAddr(t)}
	cert, key := f.certify(t, good)
	text, err := os.ReadFile(cert)
	check(t, err)
	secret, err := os.ReadFile(key)
	check(t, err)
	pem := f.write(t, "pure-ftpd.pem", string(secret)+string(text), 0o600)
	f.run(t, "root", []string{f.FTP}, program, "-S", "127.0.0.1,"+portOf(f.FTP), "-Y", "2", "-2", pem, "-E", "-H", "-g", f.Dir+"/pid")
	return f
}
