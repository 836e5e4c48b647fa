package protocol

import (
	"bytes"
	"strings"

	"example.org/starttls"
)

// What the moves of several protocols have in common; see [starttls.Mover].

// canary is a word that no client knows but from a lie.
const canary = "XLABCANARY"

// say is a GoAhead that says something else.
func say(reply string) func(_, _ []byte) []byte {
	return func(_, _ []byte) []byte { return []byte(reply) }
}

// behind is a GoAhead that says the consent, and more in its segment.
func behind(more string) func(_, msg []byte) []byte {
	return func(_, msg []byte) []byte { return append(bytes.Clone(msg), more...) }
}

// answer is a Reply that has another answer, in clear, to commands that begin
// with one of the words.
func answer(reply string, words ...string) func(bool, []byte, []byte) []byte {
	return answerWhere(false, reply, words...)
}

// answerInside is the same inside TLS.
func answerInside(reply string, words ...string) func(bool, []byte, []byte) []byte {
	return answerWhere(true, reply, words...)
}

func answerWhere(where bool, reply string, words ...string) func(bool, []byte, []byte) []byte {
	return func(tls bool, heard, said []byte) []byte {
		name, _ := verb(string(heard))
		for _, w := range words {
			if tls == where && strings.TrimSpace(name) == w {
				return []byte(reply)
			}
		}
		return said
	}
}

// first is a Reply that puts something before all that is said in clear.
func first(text string) func(bool, []byte, []byte) []byte {
	return func(tls bool, _, said []byte) []byte {
		if tls || len(said) == 0 {
			return said
		}
		return append([]byte(text), said...)
	}
}

// greets is a move that is nothing but another greeting.
func greets(id, greeting string) starttls.Move {
	return starttls.Move{ID: id, Hello: starttls.Hello{Greeting: []byte(greeting)}}
}

// hides makes a move one in which no TLS is offered.
func hides(m starttls.Move) starttls.Move {
	m.Hide = true
	return m
}

// tells makes a move one that the canary shows who fell for.
func tells(m starttls.Move) starttls.Move {
	m.Tells = []string{canary}
	return m
}
