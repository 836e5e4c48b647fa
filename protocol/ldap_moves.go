package protocol

import (
	"slices"

	"example.org/starttls"
)

// Moves are LDAP's (RFC 4511): results that are no success, a referral, the
// notice of disconnection, and answers to a search that was not made yet.
func (ldap) Moves(trap string) []starttls.Move {
	result := func(id string, code int, more ...[]byte) starttls.Move {
		return starttls.Move{ID: id, GoAhead: func(heard, _ []byte) []byte {
			return ldapReply(ldapIDOf(heard), ldapExtendedResponse, code, "", more...)
		}}
	}
	found := func(heard []byte) []byte {
		id := ldapIDOf(heard) + 1
		entry := ber(ldapSearchEntry, ber(ldapOctets, []byte("cn="+canary)), ber(ldapMessage))
		return slices.Concat(ldapRequest(id, ber(ldapBindResponse, berInt(ldapEnumerated, ldapSuccess), ber(ldapOctets), ber(ldapOctets))),
			ldapRequest(id+1, entry), ldapReply(id+1, ldapSearchDone, ldapSuccess, ""))
	}
	return []starttls.Move{
		result("error-unwilling", ldapUnwilling),
		result("error-busy", ldapBusy),
		result("redirect", 10, ber(0xa3, ber(ldapOctets, []byte("ldap://"+trap+"/")))),
		{ID: "notice", GoAhead: say(string(ldapReply(0, ldapExtendedResponse, ldapUnavailable, "", ber(0x8a, []byte(noticeOID)))))},
		{ID: "inject-pre", Withhold: true, GoAhead: func(heard, msg []byte) []byte { return append(found(heard), msg...) }},
		{ID: "inject-resp", Withhold: true, GoAhead: func(heard, msg []byte) []byte { return append(slices.Clone(msg), found(heard)...) }},
	}
}

// ldapIDOf is the identifier of the last message in b, or 1.
func ldapIDOf(b []byte) int {
	id := 1
	for len(b) > 0 {
		e, n, err := berNext(b)
		if err != nil {
			return id
		}
		if parts, err := berAll(e.content); err == nil && len(parts) > 0 {
			if v, err := parts[0].int(); err == nil {
				id = v
			}
		}
		b = n
	}
	return id
}
