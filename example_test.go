package starttls_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/smtp"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

// Dial gives a verified TLS connection at the beginning of the session. Without
// a port in the address it is the protocol's usual one.
func ExampleDial() {
	conn, err := starttls.Dial(context.Background(), "imap.example.org", protocol.IMAP, nil)
	if err != nil {
		var e *starttls.Error
		if errors.As(err, &e) {
			log.Printf("no TLS at the stage %s: %v\n%s", e.Stage, e.Err, e.Transcript)
		}
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "a1 CAPABILITY\r\n")
}

// Client upgrades a connection that is there already. The name to verify must
// be given.
func ExampleClient() {
	nc, err := net.Dial("tcp", "db.example.org:5432")
	if err != nil {
		log.Fatal(err)
	}
	conn, err := starttls.Client(context.Background(), nc, protocol.PostgreSQL, &starttls.Config{ServerName: "db.example.org"})
	if err != nil {
		log.Fatal(err) // and nc is closed
	}
	defer conn.Close()
}

// NewListener serves several domains on one port: the client's SNI chooses the
// certificate, and the first is for those who name none.
func ExampleNewListener() {
	first, err := tls.LoadX509KeyPair("example.org.pem", "example.org.key")
	if err != nil {
		log.Fatal(err)
	}
	second, err := tls.LoadX509KeyPair("example.net.pem", "example.net.key")
	if err != nil {
		log.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:587")
	if err != nil {
		log.Fatal(err)
	}
	l := starttls.NewListener(tcp, protocol.Submission, &starttls.Config{
		ServerName: "mail.example.org",
		TLS:        &tls.Config{Certificates: []tls.Certificate{first, second}},
	})
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serveSMTP(conn.(*starttls.Conn))
	}
}

func serveSMTP(conn *starttls.Conn) { conn.Close() }

// A client library that expects to read a greeting gets a constant one: the
// real one came in clear.
func ExampleConn_Greeted() {
	addr, roots := demoServer(protocol.Submission)
	conn, err := starttls.Dial(context.Background(), addr, protocol.Submission, &starttls.Config{ServerName: "mail.example.org", TLS: &tls.Config{RootCAs: roots.Pool()}})
	if err != nil {
		log.Fatal(err)
	}
	c, err := smtp.NewClient(conn.Greeted(), "mail.example.org")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Quit()
	auth, mechanisms := c.Extension("AUTH")
	fmt.Println(conn.Level(), auth, mechanisms)
	// Output: verify true PLAIN LOGIN
}

// A protocol of one's own: the client says UP, the server says YES.
type upYes struct{}

func (upYes) Info() starttls.Info {
	return starttls.Info{Name: "upyes", Port: 4000, Reference: "this example"}
}

func (upYes) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	if ask == starttls.NoAsk {
		return starttls.Hello{}, nil
	}
	if err := w.Ask([]byte("UP\r\n")); err != nil {
		return starttls.Hello{}, err
	}
	line, err := w.ReadLine()
	if err != nil {
		return starttls.Hello{}, err
	}
	if line != "YES" {
		return starttls.Hello{}, &starttls.RefusedError{Reply: []byte(line)}
	}
	return starttls.Hello{Offered: true}, nil
}

func (upYes) Server(w *starttls.Wire, _ starttls.Hello, offer starttls.Offer) (starttls.Outcome, error) {
	if offer.Mode == starttls.NoOffer {
		return starttls.Outcome{}, nil
	}
	if line, err := w.ReadLine(); err != nil || line != "UP" {
		return starttls.Outcome{}, &starttls.ReplyError{Expected: "UP", Reply: []byte(line)}
	}
	return starttls.Outcome{TLS: true}, w.GoAhead([]byte("YES\r\n"))
}

func Example_ownProtocol() {
	addr, ca := demoServer(upYes{})
	conn, err := starttls.Dial(context.Background(), addr, upYes{}, &starttls.Config{ServerName: "mail.example.org", TLS: &tls.Config{RootCAs: ca.Pool()}})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Print(conn.Transcript())
	fmt.Println(conn.Level())
	// Output:
	// C: UP
	// S: YES
	// verify
}

// demoServer serves one connection of p on loopback.
func demoServer(p starttls.Protocol) (addr string, ca *testca.CA) {
	ca, err := testca.New("example root")
	if err != nil {
		log.Fatal(err)
	}
	cert, err := ca.Issue(nil, "mail.example.org")
	if err != nil {
		log.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l := starttls.NewListener(tcp, p, &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	go func() {
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if h, ok := p.(starttls.Host); ok {
			h.Serve(conn.(*starttls.Conn).Wire(context.Background()), starttls.Hello{}, nil)
		}
	}()
	return tcp.Addr().String(), ca
}
