package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"example.org/starttls"
	"example.org/starttls/check"
	"example.org/starttls/policy/dnssec"

	"github.com/spf13/cobra"
	"golang.org/x/net/proxy"
)

// network is how to reach a server and whom to trust: the flags that check,
// connect and send share.
type network struct {
	ca       []string
	names    []string // --name; name is the first
	name     string
	ehlo     string
	timeout  time.Duration
	resolver string
	v4, v6   bool
	proxy    string
	dialogue string

	own   starttls.Protocol // of the file dialogue, once it was read
	roots *x509.CertPool
	given []*x509.Certificate
}

func (n *network) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&n.ca, "ca", nil, "trust the certificates in `FILE` (PEM) instead of the system's roots")
	f.StringArrayVar(&n.names, "name", nil, "the server is `HOST`: verify and send this name instead of the target's")
	f.StringVar(&n.ehlo, "ehlo", "", "call ourselves `NAME` (default: this machine's name)")
	f.DurationVar(&n.timeout, "timeout", 10*time.Second, "limit of one phase of one connection")
	f.StringVar(&n.resolver, "resolver", "", "ask the DNS server at `ADDR` (IP or IP:PORT)")
	f.BoolVarP(&n.v4, "ipv4", "4", false, "IPv4 only")
	f.BoolVarP(&n.v6, "ipv6", "6", false, "IPv6 only")
	f.StringVar(&n.proxy, "proxy", "", "connect through `URL` (socks5://HOST:PORT)")
	f.StringVar(&n.dialogue, "dialogue", "", "speak the protocol that `FILE` describes, to targets with its name and to bare ones")
	c.MarkFlagsMutuallyExclusive("ipv4", "ipv6")
	c.MarkFlagFilename("ca")
}

// target reads a TARGET, which can be in the protocol of --dialogue.
func (n *network) target(s string) (check.Target, error) {
	if err := n.readOwn(); err != nil {
		return check.Target{}, err
	}
	return parseTarget(s, n.own)
}

func (n *network) readOwn() (err error) {
	if n.dialogue != "" && n.own == nil {
		n.own, err = readDialogue(n.dialogue)
	}
	return err
}

// prepare reads what the flags name and refuses what can not be meant.
func (n *network) prepare() error {
	if n.timeout <= 0 {
		return usagef("as in --timeout 10s", "--timeout %s is not a time to wait", n.timeout)
	}
	for _, name := range n.names {
		if !sayable(name) {
			return usagef("as in --name mail.example.org", "--name %q is no host's name", name)
		}
	}
	if len(n.names) > 0 {
		n.name = n.names[0]
	}
	if n.ehlo == "" {
		n.ehlo = localName()
	} else if !sayable(n.ehlo) {
		return usagef("as in --ehlo client.example.org", "--ehlo %q is no host's name", n.ehlo)
	}
	if n.proxy != "" {
		if u, err := url.Parse(n.proxy); err != nil || u.Scheme != "socks5" || u.Host == "" {
			return usagef("as in --proxy socks5://127.0.0.1:1080", "--proxy %q is not socks5://HOST:PORT", n.proxy)
		}
	}
	if given := n.resolver; given != "" {
		if _, _, err := net.SplitHostPort(given); err != nil {
			n.resolver = net.JoinHostPort(given, "53")
		}
		if host, _, _ := net.SplitHostPort(n.resolver); net.ParseIP(host) == nil {
			return usagef("as in --resolver 127.0.0.1:53", "--resolver %q is no address", given)
		}
	}
	for _, file := range n.ca {
		certs, err := readCertificates(file)
		if err != nil {
			return err
		}
		if n.roots == nil {
			n.roots = x509.NewCertPool()
		}
		for _, c := range certs {
			n.roots.AddCert(c)
		}
		n.given = append(n.given, certs...)
	}
	return nil
}

// sayable reports whether a name can stand in a command: what ends a word or a
// line would be said as another one.
func sayable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) })
}

func localName() string {
	if h, err := os.Hostname(); err == nil && h != "" {
		return h
	}
	return "localhost"
}

const pemHint = "it takes a PEM file, with -----BEGIN CERTIFICATE----- in it"

func readCertificates(file string) ([]*x509.Certificate, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fileError("--ca", readHint, err)
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, usagef(pemHint, "--ca %s: %v", file, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, usagef(pemHint, "--ca %s: no certificate in it", file)
	}
	return certs, nil
}

// dial opens a connection as the flags say.
func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network == "tcp" {
		network = n.tcp()
	}
	direct := &net.Dialer{Resolver: n.dns()}
	if n.proxy == "" {
		return direct.DialContext(ctx, network, addr)
	}
	u, _ := url.Parse(n.proxy)
	d, err := proxy.FromURL(u, direct)
	if err != nil {
		return nil, err
	}
	return d.(proxy.ContextDialer).DialContext(ctx, network, addr)
}

func (n *network) tcp() string {
	switch {
	case n.v4:
		return "tcp4"
	case n.v6:
		return "tcp6"
	}
	return "tcp"
}

func (n *network) dns() *net.Resolver {
	if n.resolver == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, n.resolver)
	}}
}

// records is the resolver of what DNSSEC may have to prove.
func (n *network) records() (*dnssec.Resolver, error) {
	if n.resolver != "" {
		return dnssec.At(n.resolver), nil
	}
	return dnssec.System()
}

// addresses gives t once for each address to check: all of them, or the first.
// Behind a proxy names are the proxy's to look up.
func (n *network) addresses(ctx context.Context, t check.Target, all bool) ([]check.Target, error) {
	if n.proxy != "" {
		return []check.Target{t}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	ips, err := n.dns().LookupIP(ctx, map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}[n.tcp()], t.Host)
	var e *net.DNSError
	if errors.As(err, &e) && n.resolver != "" {
		e.Server = n.resolver // the library names the system's
	}
	if err != nil {
		return nil, err
	}
	if !all {
		ips = ips[:1]
	}
	var out []check.Target
	for _, ip := range ips {
		t.Address = net.JoinHostPort(ip.String(), strconv.Itoa(t.Port))
		out = append(out, t)
	}
	return out, nil
}
