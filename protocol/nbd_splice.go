package protocol

import "example.org/starttls"

// Splice sees to the client's flags, which come before the first option: a
// backend that was upgraded has had our own, and any other must be told those
// that the client said before TLS.
func (p nbd) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	told := s.Outcome.Replay != nil
	switch {
	case told && !s.Backend.Upgraded():
		_, err = s.Backend.Write(s.Outcome.Replay)
	case !told && s.Backend.Upgraded():
		left := len(nbdFlags)
		toBackend = func(b []byte) ([]byte, error) {
			n := min(left, len(b))
			left -= n
			return b[n:], nil
		}
	}
	return toBackend, nil, err
}
