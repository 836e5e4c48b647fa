package nearest

import "testing"

func TestWord(t *testing.T) {
	words := []string{"imap", "smtp", "submission", "listen"}
	for word, want := range map[string]string{
		"imap": "imap", "imao": "imap", "smpt": "smtp", "litsen": "listen", "submision": "submission", "submissoins": "submission",
		"": "", "x": "", "mail": "", "subscription": "", "imapimap": "",
	} {
		if got := Word(word, words); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
