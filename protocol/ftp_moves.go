package protocol

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"

	"example.org/starttls"
)

// Moves are FTP's: a session that begins signed in, ways to refuse AUTH TLS, and
// data connections that are not protected, or lead elsewhere (RFC 4217).
func (ftp) Moves(trap string) []starttls.Move {
	return []starttls.Move{
		greets("preauth", "230 Signed in\r\n"),
		hides(starttls.Move{ID: "caps-refused", Reply: answer("500 Unknown command\r\n", "FEAT")}),
		{ID: "error-mechanism", GoAhead: say("504 Unknown mechanism\r\n")},
		{ID: "error-policy", GoAhead: say("534 Not for you\r\n")},
		{ID: "error-resources", GoAhead: say("431 Not now\r\n")},
		{ID: "inject-resp-tls-refused", GoAhead: say("500 Unknown command\r\n331 Password, please\r\n230 Signed in\r\n257 \"/\"\r\n")},
		{ID: "pbsz-refused", Reply: answerInside("500 Unknown command\r\n", "PBSZ", "PROT"), Tells: dataCommands},
		{ID: "prot-refused", Reply: answerInside("534 Not for you\r\n", "PROT"), Tells: dataCommands},
		{ID: "prot-unsupported", Reply: answerInside("536 Not by this mechanism\r\n", "PROT"), Tells: dataCommands},
		{ID: "redirect", Reply: passive(trap)},
		{ID: "ccc", Reply: func(tls bool, _, said []byte) []byte {
			if !tls {
				return said
			}
			return bytes.Replace(said, []byte(" PBSZ\r\n"), []byte(" CCC\r\n PBSZ\r\n"), 1)
		}, Tells: []string{"CCC\r\n"}},
	}
}

// dataCommands begin a data connection.
var dataCommands = []string{"PASV\r\n", "EPSV", "PORT ", "EPRT "}

// passive has data connections lead to trap.
func passive(trap string) func(bool, []byte, []byte) []byte {
	host, digits, _ := net.SplitHostPort(trap)
	port, _ := strconv.Atoi(digits)
	there := fmt.Sprintf("227 Entering passive mode (%s,%d,%d)\r\n", strings.ReplaceAll(host, ".", ","), port>>8, port&0xff)
	pasv, epsv := answerInside(there, "PASV"), answerInside("500 Unknown command\r\n", "EPSV")
	return func(tls bool, heard, said []byte) []byte { return pasv(tls, heard, epsv(tls, heard, said)) }
}
