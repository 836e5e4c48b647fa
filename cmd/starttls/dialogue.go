package main

import (
	"errors"
	"os"
	"strings"

	"example.org/starttls"
	"example.org/starttls/internal/nearest"
	"example.org/starttls/protocol"
)

// readDialogue reads the protocol that a file describes.
func readDialogue(file string) (starttls.Protocol, error) {
	f, err := os.Open(file)
	if err == nil {
		defer f.Close()
		var p starttls.Protocol
		if p, err = protocol.ParseDialogue(f); err == nil {
			return p, nil
		}
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return nil, fileError("--dialogue", readHint, err)
	}
	hint := "docs/dialogue.md explains the file"
	var bad *protocol.DialogueError
	if errors.As(err, &bad) && bad.Word != "" {
		hint = "a line begins with one of: " + strings.Join(bad.Known, " ")
		if word := nearest.Word(bad.Word, bad.Known); word != "" {
			hint = "did you mean \"" + word + "\"?"
		}
	}
	return nil, usagef(hint, "--dialogue %s: %v", file, err)
}
