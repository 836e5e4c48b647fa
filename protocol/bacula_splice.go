package protocol

// Unspliceable says why: who the console is, and with that which password it
// must know, is said in its hello, before TLS, and never again.
func (bacula) Unspliceable() string {
	return "the client says who it is before TLS, and does not say it again inside"
}
