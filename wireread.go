package starttls

import (
	"bytes"
	"errors"
	"io"
)

// ReadLine reads up to and including LF and returns the line without its CRLF
// or LF. A line longer than the limit, one line too many, and a NUL are errors.
func (w *Wire) ReadLine() (string, error) {
	line, err := w.readTo('\n')
	if err != nil {
		return "", err
	}
	w.note(w.peer(), line)
	return string(bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))), nil
}

// ReadTo reads up to and including delim, within the limits of a line. The
// slice is the caller's. A NUL is an error.
func (w *Wire) ReadTo(delim byte) ([]byte, error) {
	b, err := w.readTo(delim)
	if err != nil {
		return nil, err
	}
	w.note(w.peer(), b)
	return bytes.Clone(b), nil
}

// readTo reads as ReadTo does. The slice is valid until the next read.
func (w *Wire) readTo(delim byte) ([]byte, error) {
	if err := w.count(); err != nil {
		return nil, err
	}
	var long []byte // what did not fit the buffer
	for {
		have := w.ahead()
		if i := bytes.IndexByte(have, delim); i >= 0 {
			line := have[: i+1 : i+1]
			if long != nil {
				line = append(long, line...)
			}
			w.r += i + 1
			if len(line) > w.limits.Line {
				return nil, &LimitError{"line length", w.limits.Line}
			}
			if bytes.IndexByte(line, 0) >= 0 {
				w.note(w.peer(), line)
				return nil, &ReplyError{Expected: "a line of text", Reply: bytes.Clone(line)}
			}
			return line, nil
		}
		long = append(long, have...)
		w.r = w.n
		if len(long) >= w.limits.Line {
			return nil, &LimitError{"line length", w.limits.Line}
		}
		if err := w.fill(); err != nil {
			return nil, unexpected(err, len(long))
		}
	}
}

// ReadN reads exactly n bytes, at most Limits.Packet. The slice is the caller's.
func (w *Wire) ReadN(n int) ([]byte, error) {
	if n < 0 || n > w.limits.Packet {
		return nil, &LimitError{"packet length", w.limits.Packet}
	}
	if err := w.count(); err != nil {
		return nil, err
	}
	out := make([]byte, 0, min(n, wireBuffer)) // grows with what came, not with what was promised
	for len(out) < n {
		if w.r == w.n {
			if err := w.fill(); err != nil {
				return nil, unexpected(err, len(out))
			}
		}
		k := min(n-len(out), w.n-w.r)
		out = append(out, w.buf[w.r:w.r+k]...)
		w.r += k
	}
	w.note(w.peer(), out)
	return out, nil
}

// Peek returns the next n bytes, at most 4096, without consuming them. The
// slice is valid until the next read.
func (w *Wire) Peek(n int) ([]byte, error) {
	if n < 0 || n > wireBuffer {
		return nil, &LimitError{"bytes to look ahead", wireBuffer}
	}
	for w.n-w.r < n {
		if w.r > 0 {
			copy(w.buf[:], w.buf[w.r:w.n])
			w.n -= w.r
			w.r = 0
		}
		if err := w.fill(); err != nil {
			return nil, unexpected(err, w.n-w.r)
		}
	}
	return w.ahead()[:n], nil
}

// PeekLine returns the next line as ReadLine would, without consuming it and
// without a place in the transcript. A server's half looks with it whether the
// next command is its own or the session's. The line, its end included, must
// fit in 4096 bytes and in Limits.Line.
func (w *Wire) PeekLine() (string, error) {
	most := min(w.limits.Line, wireBuffer)
	for {
		have := w.ahead()
		if i := bytes.IndexByte(have, '\n'); i >= 0 && i < most {
			return string(bytes.TrimSuffix(have[:i], []byte("\r"))), nil
		}
		if len(have) >= most {
			return "", &LimitError{"line length", most}
		}
		if _, err := w.Peek(len(have) + 1); err != nil {
			return "", err
		}
	}
}

// fill reads once from the connection behind what is buffered.
func (w *Wire) fill() error {
	if w.buf == nil {
		w.buf = wireBuffers.Get().(*[wireBuffer]byte)
	}
	if w.r == w.n {
		w.r, w.n = 0, 0
	}
	if w.bytes >= w.limits.Bytes {
		return &LimitError{"bytes", w.limits.Bytes}
	}
	k, err := w.conn.Read(w.buf[w.n:])
	w.n += k
	w.bytes += k
	if k > 0 {
		return nil
	}
	return w.cause(err)
}

func (w *Wire) count() error {
	if w.lines++; w.lines > w.limits.Lines {
		return &LimitError{"lines", w.limits.Lines}
	}
	return nil
}

// Ahead returns a copy of what the peer sent past what was read.
func (w *Wire) Ahead() []byte {
	if w.r == w.n {
		return nil
	}
	return bytes.Clone(w.ahead())
}

func (w *Wire) ahead() []byte {
	if w.buf == nil {
		return nil
	}
	return w.buf[w.r:w.n]
}

// unexpected turns an end of file in the middle of a message into io.ErrUnexpectedEOF.
func unexpected(err error, have int) error {
	if have > 0 && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
