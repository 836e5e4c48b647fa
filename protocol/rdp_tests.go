package protocol

import (
	"strings"

	"example.org/starttls"
)

// Tests ask for a session with nothing but RDP's own encryption (MS-RDPBCGR,
// section 2.2.1.1.1), which proves nobody's identity.
func (p rdp) Tests() []starttls.Test {
	return []starttls.Test{{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		h, err := p.probeClear(w)
		refusal := strings.Join(h.Caps, "")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case refusal == "":
			return fault("a session with RDP's own encryption alone is let in")
		case strings.Contains(refusal, rdpFailures[rdpNeedsTLS]), strings.Contains(refusal, rdpFailures[rdpNeedsCredSSP]), strings.Contains(refusal, rdpFailures[rdpNeedsUser]):
			return sound("a session without TLS is refused: %s", refusal)
		}
		return untold(refusal)
	}}}
}
