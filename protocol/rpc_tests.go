package protocol

import "example.org/starttls"

// Tests ask for TLS inside TLS (RFC 9289, section 4.1). That a call without TLS
// is answered tells nothing: exports that need it refuse only what concerns them.
func (p rpc) Tests() []starttls.Test { return []starttls.Test{askAgain(p)} }
