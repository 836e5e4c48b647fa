package protocol

// Unspliceable says why. What was negotiated before TLS is said again inside:
// MCS's connect initial repeats the protocol that was chosen (MS-RDPBCGR,
// section 2.2.1.4.2), and CredSSP is bound to the server's key.
func (rdp) Unspliceable() string {
	return "RDP says again inside TLS what was negotiated before it, and CredSSP is bound to the server's own key"
}
