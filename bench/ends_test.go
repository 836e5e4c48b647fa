package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The test's binary is also what stands behind the gateways, in a process of its
// own: a process may have no more than so many files open.
const endsEnv = "STARTTLS_BENCH_ENDS"

func TestMain(m *testing.M) {
	what := strings.Split(os.Getenv(endsEnv), "\n")
	var err error
	switch what[0] {
	case "ends":
		err = serveEnds(what[1], what[2])
	case "splice":
		err = serveSplice(what[1], what[2])
	default:
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// serveEnds serves until its standard input ends: a server in clear, one with
// STARTTLS whose sessions go on below TLS, and what nginx asks for a backend. It
// prints their addresses.
func serveEnds(certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	var addrs []string
	listen := func(handle func(net.Conn)) net.Listener {
		l, e := net.Listen("tcp", "127.0.0.1:0")
		if e != nil {
			err = e
			return nil
		}
		addrs = append(addrs, l.Addr().String())
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				go handle(nc)
			}
		}()
		return l
	}
	clear := listen(func(nc net.Conn) { serveBench(nc, nil) })
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true} // nothing of TLS is left behind the handshake
	listen(func(nc net.Conn) { serveBench(nc, cfg) })
	if err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(clear.Addr().String())
	auth, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addrs = append(addrs, auth.Addr().String())
	go http.Serve(auth, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Auth-Status", "OK")
		w.Header().Set("Auth-Server", host)
		w.Header().Set("Auth-Port", port)
	}))
	fmt.Println(strings.Join(addrs, " "))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serveSplice is the bare splice, a process like any gateway.
func serveSplice(listen, backend string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer nc.Close()
			bc, err := net.Dial("tcp", backend)
			if err != nil {
				return
			}
			defer bc.Close()
			go bc.(*net.TCPConn).ReadFrom(nc)
			nc.(*net.TCPConn).ReadFrom(bc)
		}()
	}
}

// serveBench answers EHLO and NOOP; DATA n takes a message of n bytes, SOURCE n
// sends them. With cfg it does STARTTLS, and goes on below TLS after one command.
func serveBench(nc net.Conn, cfg *tls.Config) {
	defer nc.Close()
	io.WriteString(nc, "220 bench ESMTP\r\n")
	in := bufio.NewReaderSize(nc, 4<<10)
	block := bytes.Repeat([]byte("x"), 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.Atoi(arg)
		switch verb {
		case "EHLO":
			io.WriteString(nc, "250-bench\r\n250 STARTTLS\r\n")
		case "STARTTLS":
			io.WriteString(nc, "220 go\r\n")
			tc := tls.Server(nc, cfg)
			if _, err := tc.Read(make([]byte, 64)); err != nil {
				return
			}
			io.WriteString(tc, "250 ok\r\n")
		case "DATA": // of n bytes, as the clients here send it
			io.WriteString(nc, "354 go\r\n")
			k, _ := in.Discard(min(in.Buffered(), n+5))
			io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(struct{ io.Reader }{nc}, int64(n+5-k)), make([]byte, len(block)))
			io.WriteString(nc, "250 taken\r\n")
		case "SOURCE":
			for left := n; left > 0; left -= len(block) {
				if _, err := nc.Write(block[:min(left, len(block))]); err != nil {
					return
				}
			}
			io.WriteString(nc, "\r\n250 sent\r\n")
		default:
			io.WriteString(nc, "250 ok\r\n")
		}
	}
}
