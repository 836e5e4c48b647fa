package mtasts

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
)

// Client finds policies. The zero value asks the system's resolver, trusts the
// system's roots and remembers nothing. It is safe for concurrent use.
type Client struct {
	Resolver TXTResolver                                                       // nil: net.DefaultResolver
	Roots    *x509.CertPool                                                    // that policy hosts' certificates are verified to; nil: the system's
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil: a net.Dialer's
	Timeout  time.Duration                                                     // of one fetch as a whole; 0: one minute
	Cache    *Cache                                                            // nil: every Get fetches
}

// Fetch fetches the policy of a domain, whatever its record or the cache say
// (RFC 8461, section 3.3). Errors are *Error.
func (c *Client) Fetch(ctx context.Context, domain string) (*Policy, error) {
	if !hostName().MatchString(domain) {
		return nil, &Error{domain, errors.New("not a domain name"), fetchError}
	}
	limit := cmp.Or(c.Timeout, time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no whole policy within %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	text, mediaType, err := c.download(ctx, "https://mta-sts."+domain+"/.well-known/mta-sts.txt")
	if ctx.Err() != nil { // even if a page came: its end may be due to our leaving
		err = context.Cause(ctx)
	}
	if err != nil {
		result := fetchError
		var cert *tls.CertificateVerificationError
		if errors.As(err, &cert) {
			result = webPKI
		}
		return nil, &Error{domain, fmt.Errorf("fetching the MTA-STS policy: %w", err), result}
	}
	p, err := ParsePolicy(text)
	if err != nil {
		return nil, &Error{domain, fmt.Errorf("reading the MTA-STS policy: %w", err), invalid}
	}
	if t, _, err := mime.ParseMediaType(mediaType); err != nil || t != "text/plain" {
		p.Advice = append(p.Advice, fmt.Sprintf("it is served as %.100q, and should be as text/plain", mediaType))
	}
	return p, nil
}

// download reads one page, and follows no redirection.
func (c *Client) download(ctx context.Context, url string) (text []byte, mediaType string, err error) {
	client := http.Client{
		Transport: &http.Transport{
			DialContext:            c.Dial,
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxLength,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
		return nil, "", fmt.Errorf("the answer is %s to %.200q, which may not be followed", resp.Status, to)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("the answer is %s", strings.TrimSpace(resp.Status))
	}
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxLength+1)) // one too many, for ParsePolicy to refuse
	return text, resp.Header.Get("Content-Type"), err
}
