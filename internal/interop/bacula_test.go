package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/starttls"
)

// Debian's console is from before Bacula had TLS before the sign-in: where TLS is
// required it is turned away and does not sign in. In clear it takes our
// challenge, and then finds that we do not know its password.
//
//	bconsole 9.6 -- bacula, in clear --> our Director
func TestOldBaculaConsoleOnOurServer(t *testing.T) {
	for name, c := range map[string]struct {
		mode  starttls.OfferMode
		heard string
	}{
		"required": {starttls.Grant, ""},
		"optional": {starttls.Optional, "sign-in CRAM-MD5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serve(t, "bacula", func(cfg *starttls.Config) { cfg.Offer.Mode = c.mode })
			conf := filepath.Join(t.TempDir(), "bconsole.conf")
			check(t, os.WriteFile(conf, fmt.Appendf(nil, "Director {\n Name = ours\n Address = 127.0.0.1\n DIRport = %s\n Password = secret\n}\n", o.port()), 0o644))
			out, err := runClient(t, "", nil, "bconsole", "-c", conf)
			if err == nil || !strings.Contains(out, "Director authorization problem") || o.heard() != c.heard {
				t.Errorf("%v; the session heard %q\n%s", err, o.heard(), out)
			}
		})
	}
}
