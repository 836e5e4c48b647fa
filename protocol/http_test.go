package protocol

import (
	"errors"
	"strings"
	"testing"

	"example.org/starttls"
)

// The client asks for TLS by both names that servers know, and takes no answer
// for consent but a 101 that upgrades to TLS: with CUPS's empty body, too.
func TestHTTPClient(t *testing.T) {
	refused, reply := new(*starttls.RefusedError), new(*starttls.ReplyError)
	for name, c := range map[string]struct {
		answer string
		want   any // nil: TLS comes next
	}{
		"consent":           {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.0, HTTP/1.1\r\nConnection: Upgrade\r\n\r\n", nil},
		"as CUPS does":      {"HTTP/1.1 101 Switching Protocols\r\nConnection: Keep-Alive\r\nUpgrade: TLS/1.2,HTTP/1.1\r\nContent-Length: 0\r\n\r\n", nil},
		"another protocol":  {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", reply},
		"no word of it":     {"HTTP/1.1 101 Switching Protocols\r\n\r\n", reply},
		"goes on in clear":  {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", refused},
		"insists elsewhere": {"HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.0\r\nContent-Length: 0\r\n\r\n", refused},
		"not HTTP":          {"220 ready\r\n\r\n", reply},
	} {
		s := scripted([]byte(c.answer))
		h, err := HTTP.Client(wireTo(s, starttls.ClientSide), starttls.IfOffered)
		ok := err == nil && h.Offered
		if c.want != nil {
			ok = errors.As(err, c.want)
		}
		if !ok {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
		if said := s.out.String(); !strings.HasPrefix(said, "OPTIONS * HTTP/1.1\r\n") || !strings.Contains(said, "\r\nUpgrade: TLS/1.2, TLS/1.0\r\nConnection: Upgrade\r\n") {
			t.Errorf("%s: asked with %q", name, said)
		}
	}
}
