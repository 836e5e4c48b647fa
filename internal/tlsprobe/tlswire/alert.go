package tlswire

import "fmt"

// Alert is an alert (RFC 8446, section 6). As an error it is one that the peer
// sent.
type Alert struct{ Level, Code uint8 }

// Alert codes that mean something to a probe.
const (
	CloseNotify           uint8 = 0
	UnexpectedMessage     uint8 = 10
	BadRecordMAC          uint8 = 20
	DecryptionFailed      uint8 = 21 // TLS 1.0 and before
	HandshakeFailure      uint8 = 40
	IllegalParameter      uint8 = 47
	DecryptError          uint8 = 51
	ProtocolVersion       uint8 = 70
	InappropriateFallback uint8 = 86
	NoRenegotiation       uint8 = 100
	UnrecognizedName      uint8 = 112
	NoApplicationProtocol uint8 = 120
)

// Alert levels.
const (
	Warning uint8 = 1
	Fatal   uint8 = 2
)

var alertNames = map[uint8]string{
	CloseNotify: "close_notify", UnexpectedMessage: "unexpected_message", BadRecordMAC: "bad_record_mac",
	DecryptionFailed: "decryption_failed", 22: "record_overflow", 30: "decompression_failure",
	HandshakeFailure: "handshake_failure", 41: "no_certificate", 42: "bad_certificate",
	43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
	46: "certificate_unknown", IllegalParameter: "illegal_parameter", 48: "unknown_ca", 49: "access_denied",
	50: "decode_error", DecryptError: "decrypt_error", 52: "too_many_cids_requested", 60: "export_restriction",
	ProtocolVersion: "protocol_version", 71: "insufficient_security", 80: "internal_error",
	InappropriateFallback: "inappropriate_fallback", 90: "user_canceled", NoRenegotiation: "no_renegotiation",
	109: "missing_extension", 110: "unsupported_extension", 111: "certificate_unobtainable",
	UnrecognizedName: "unrecognized_name", 113: "bad_certificate_status_response",
	114: "bad_certificate_hash_value", 115: "unknown_psk_identity", 116: "certificate_required",
	117: "general_error", NoApplicationProtocol: "no_application_protocol", 121: "ech_required",
}

// Name is the code's name in IANA's registry, or its number.
func (a Alert) Name() string {
	if name, ok := alertNames[a.Code]; ok {
		return name
	}
	return fmt.Sprint(a.Code)
}

// LevelName is "warning", "fatal" or the number.
func (a Alert) LevelName() string {
	switch a.Level {
	case Warning:
		return "warning"
	case Fatal:
		return "fatal"
	}
	return fmt.Sprint(a.Level)
}

func (a Alert) Error() string { return a.LevelName() + " alert " + a.Name() }

// ParseAlert parses the body of an alert record.
func ParseAlert(b []byte) (Alert, error) {
	if len(b) != 2 {
		return Alert{}, malformed("alert")
	}
	return Alert{b[0], b[1]}, nil
}
