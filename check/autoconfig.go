package check

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"io"
	"net/http"

	"example.org/starttls/protocol"
)

// autoconfigFile is the file that mail clients read, as far as it matters here
// (https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat).
type autoconfigFile struct {
	Incoming []autoconfigServer `xml:"emailProvider>incomingServer"`
	Outgoing []autoconfigServer `xml:"emailProvider>outgoingServer"`
}

type autoconfigServer struct {
	Type   string `xml:"type,attr"`
	Host   string `xml:"hostname"`
	Port   int    `xml:"port"`
	Socket string `xml:"socketType"` // plain, STARTTLS or SSL
}

// autoconfig reads the file at the two places that clients look for it. It is
// read by HTTPS alone: what comes in clear could be anybody's.
func autoconfig(ctx context.Context, domain string, o Options) []Found {
	client := &http.Client{Transport: &http.Transport{DialContext: o.Dialer, TLSClientConfig: &tls.Config{RootCAs: o.Roots}}}
	defer client.CloseIdleConnections()
	for _, url := range []string{"https://autoconfig." + domain + "/mail/config-v1.1.xml", "https://" + domain + "/.well-known/autoconfig/mail/config-v1.1.xml"} {
		if found, err := readAutoconfig(ctx, client, url); err == nil {
			return found
		}
	}
	return nil
}

func readAutoconfig(ctx context.Context, client *http.Client, url string) ([]Found, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var file autoconfigFile
	if err := xml.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&file); err != nil {
		return nil, err
	}
	var out []Found
	for _, s := range append(file.Incoming, file.Outgoing...) {
		if f, ok := s.found(); ok {
			out = append(out, f)
		}
	}
	return out, nil
}

// found makes a service of an entry. The port tells better than the type, which
// says "smtp" of every outgoing server.
func (s autoconfigServer) found() (Found, bool) {
	if s.Host == "" || s.Port < 1 || s.Port > 65535 {
		return Found{}, false
	}
	p, _, ok := protocol.ByPort(s.Port)
	if !ok {
		var err error
		if p, _, err = protocol.Lookup(s.Type); err != nil {
			return Found{}, false
		}
	}
	return Found{Target{Protocol: p, Implicit: s.Socket == "SSL", Host: s.Host, Port: s.Port}, "autoconfig", s.Host}, true
}
