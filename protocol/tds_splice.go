package protocol

import "example.org/starttls"

// Splice says PRELOGIN to a backend that has not heard it, without encryption,
// and answers that of a client whose TLS is not agreed on by it: the two would
// agree on a handshake that only one of them makes.
func (p tds) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	version := s.Hello.Software
	if !s.Backend.Upgraded() {
		if _, err := s.Backend.Write(tdsMessage(tdsPrelogin, prelogin("", tdsNotSup))); err != nil {
			return nil, nil, err
		}
		_, data, err := readTDS(s.Backend)
		if err != nil {
			return nil, nil, err
		}
		said, encryption, ok := parsePrelogin(data)
		if !ok || encryption == tdsReq {
			return nil, nil, errUnexpected("an answer to PRELOGIN that does not insist on encryption", data)
		}
		version = said
	}
	if s.Client.Upgraded() {
		return nil, nil, nil
	}
	kind, encryption, err := peekTDS(s.Client)
	if err != nil || kind != tdsPrelogin {
		return nil, nil, err
	}
	if _, _, err := readTDS(s.Client); err != nil {
		return nil, nil, err
	}
	if !s.Client.TLS() { // within TDS 8.0 it means nothing, and is given back
		encryption = tdsNotSup
	}
	_, err = s.Client.Write(tdsMessage(tdsReply, prelogin(version, encryption)))
	return nil, nil, err
}
