package protocol

import (
	"slices"

	"example.org/starttls"
)

// Splice brings a backend in clear to where VeNCrypt's X509None has brought the
// client: behind the choice of no sign-in, before its result.
func (p vnc) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	if !s.Client.Upgraded() || s.Backend.Upgraded() {
		return nil, nil, nil
	}
	if _, err := s.Backend.Write([]byte(vncVersion)); err != nil {
		return nil, nil, err
	}
	n, err := s.Backend.ReadN(1)
	if err != nil {
		return nil, nil, err
	}
	if n[0] == 0 {
		return nil, nil, vncReason(s.Backend)
	}
	types, err := s.Backend.ReadN(int(n[0]))
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(types, vncNone) {
		return nil, nil, errUnexpected("the security type None: behind TLS that has no sign-in", types)
	}
	_, err = s.Backend.Write([]byte{vncNone})
	return nil, nil, err
}
