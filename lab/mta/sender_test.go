package mta

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"example.org/starttls"
	"example.org/starttls/lab"
	"example.org/starttls/policy"
	"example.org/starttls/policy/dnssec"
	"example.org/starttls/policy/mtasts"
	"example.org/starttls/policy/tlsrpt"
	"example.org/starttls/protocol"

	"github.com/emersion/go-smtp"
)

// message is what senders send.
const message = "From: <a@example.test>\r\nSubject: secret\r\n%s\r\nMAIL secret\r\nQUIT secret\r\n"

func ended(err error) lab.Ended {
	if err != nil {
		return lab.Ended{How: err.Error()}
	}
	return lab.Ended{How: "sent"}
}

// deliver sends a message over conn.
func deliver(conn net.Conn, to, text string, o *smtp.MailOptions) error {
	c := smtp.NewClient(conn)
	defer c.Close()
	if err := c.Hello("sender.example.test"); err != nil {
		return err
	}
	if o != nil && o.RequireTLS {
		if ok, _ := c.Extension(requireTLS); !ok {
			return errors.New("the server has no REQUIRETLS")
		}
	}
	if err := errors.Join(c.Mail("a@example.test", o), c.Rcpt(to, nil)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return errors.Join(err, w.Close(), c.Quit())
}

// careful is a sender that obeys every policy, made of package policy.
type careful struct {
	lab *Lab
	sts *mtasts.Client
}

func newCareful(l *Lab) *careful {
	return &careful{lab: l, sts: &mtasts.Client{Resolver: dnssec.At(l.Resolver), Roots: l.Roots(), Dial: l.dialHTTPS, Cache: &mtasts.Cache{}}}
}

// dialHTTPS leads to the lab's policy hosts.
func (l *Lab) dialHTTPS(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	a, err := dnssec.At(l.Resolver).Addrs(ctx, "ip4", host)
	if err != nil || len(a.Records) == 0 {
		return nil, fmt.Errorf("%s has no address: %v", host, err)
	}
	return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(a.Records[0].String(), strconv.Itoa(l.HTTPS)))
}

func (s *careful) run(ctx context.Context, c Call) lab.Ended {
	text := strings.Replace(message, "%s", c.Header+"\r\n", 1)
	if c.Header == "" {
		text = strings.Replace(message, "%s", "", 1)
	}
	d, err := s.send(ctx, c.Domain, c.To, text, c.Mail, c.Header)
	if err != nil && d != nil && d.TLSRPTErr == nil {
		err = errors.Join(err, s.report(ctx, d, err))
	}
	return ended(err)
}

// send tries the servers of a domain in turn.
func (s *careful) send(ctx context.Context, domain, to, text, mail, header string) (*policy.Domain, error) {
	r := dnssec.At(s.lab.Resolver)
	d, err := (&policy.Finder{DNS: r, STS: s.sts, Port: uint16(s.lab.Port)}).Domain(ctx, domain)
	if err != nil {
		return nil, err
	}
	for _, h := range d.Hosts {
		if header != "" {
			h.DANE, h.STS = nil, nil
		}
		if err = s.try(ctx, r, h, to, text, mail != ""); err == nil {
			return d, nil
		}
	}
	return d, err
}

func (s *careful) try(ctx context.Context, r *dnssec.Resolver, h policy.Host, to, text string, require bool) error {
	level := policy.May
	if require {
		if level = policy.Encrypt; h.DANE.Demand.String() != "dane" {
			level = policy.Verify
		}
		if !h.MXSecure && h.STS == nil {
			return errors.New("nobody vouches for the MX record")
		}
	}
	d := policy.Effective(level, h)
	if d.Defer {
		return d.Verify(nil, nil)
	}
	conn, err := dial(ctx, s.lab, r, h.Name, d.ServerName(), d.Level > policy.May)
	if err != nil {
		return err
	}
	defer conn.Close()
	var state *tls.ConnectionState
	if conn.TLS() != nil {
		cs := conn.TLS().ConnectionState()
		state = &cs
	}
	if err := d.Verify(state, s.lab.Roots()); err != nil {
		return err
	}
	return deliver(conn.Greeted(), to, text, &smtp.MailOptions{RequireTLS: require})
}

// dial connects to a server with any certificate.
func dial(ctx context.Context, l *Lab, r *dnssec.Resolver, host, name string, required bool) (*starttls.Conn, error) {
	a, err := r.Addrs(ctx, "ip4", host)
	if err != nil || len(a.Records) == 0 {
		return nil, fmt.Errorf("%s has no address: %v", host, err)
	}
	cfg := &starttls.Config{Mode: starttls.Opportunistic, ServerName: name, TLS: &tls.Config{InsecureSkipVerify: true}}
	if required {
		cfg.Mode = starttls.Required
	}
	return starttls.Dial(ctx, net.JoinHostPort(a.Records[0].String(), strconv.Itoa(l.Port)), protocol.SMTP, cfg)
}

// report says that a message could not be sent.
func (s *careful) report(ctx context.Context, d *policy.Domain, why error) error {
	day := time.Now().UTC().Truncate(24 * time.Hour)
	r := &tlsrpt.Report{Organization: "sender", Contact: "a@example.test", ID: "1", DateRange: tlsrpt.DateRange{Start: day, End: day.Add(24*time.Hour - time.Second)},
		Policies: []tlsrpt.Result{{Policy: tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: d.Name}, Summary: tlsrpt.Summary{Failed: 1},
			Failures: []tlsrpt.Failure{{Type: tlsrpt.TypeOf(why), MXHost: d.Hosts[0].Name, Sessions: 1}}}}}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		return err
	}
	uri := d.TLSRPT.RUA[0]
	if to, ok := strings.CutPrefix(uri, "mailto:"); ok {
		_, err := s.send(ctx, reportsDomain, to, reportMail(b.Bytes()), "", "TLS-Required: No")
		return err
	}
	client := http.Client{Transport: &http.Transport{DialContext: s.lab.dialHTTPS, TLSClientConfig: &tls.Config{RootCAs: s.lab.Roots()}}}
	resp, err := client.Post(uri, tlsrpt.MediaType, &b)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func reportMail(gzipped []byte) string {
	return "From: <a@example.test>\r\nSubject: Report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=tlsrpt; boundary=xx\r\n\r\n" +
		"--xx\r\nContent-Type: text/plain\r\n\r\nA report.\r\n--xx\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString(gzipped) + "\r\n--xx--\r\n"
}

// careless is a sender that believes any DNS, takes TLS if it is offered, with
// whatever certificate, reads policies to their end, and obeys none.
func careless(ctx context.Context, c Call) lab.Ended {
	r := dnssec.At(c.Lab.DNS)
	client := http.Client{Transport: &http.Transport{DialContext: c.Lab.dialHTTPS, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if resp, err := client.Get("https://mta-sts." + c.Domain + policyPath); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	mx, err := r.MX(ctx, c.Domain)
	if err != nil || len(mx.Records) == 0 {
		return ended(fmt.Errorf("no MX: %v", err))
	}
	host := mx.Records[0].Host
	conn, err := dial(ctx, c.Lab, r, host, host, false)
	if err != nil {
		return ended(err)
	}
	defer conn.Close()
	return ended(deliver(conn.Greeted(), c.To, strings.Replace(message, "%s", "", 1), nil))
}

// timid is a sender that sends nothing but to the honest domain, and while all is
// well.
func timid(ctx context.Context, c Call) lab.Ended {
	if c.ID == HonestID || c.Run < len(c.stages)-1 {
		return careless(ctx, c)
	}
	_, err := dnssec.At(c.Lab.DNS).MX(ctx, c.Domain)
	return ended(err)
}
