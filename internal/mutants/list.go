package main

// A mutant is one rule broken in one place.
type mutant struct {
	rule     string // the rule of docs/rules.md
	what     string // what the change does, in words
	file     string
	old, new string
}

var mutants = []mutant{
	{"1", "the client half no longer looks for bytes behind the go-ahead", "upgrade.go",
		"err == nil && ask != NoAsk && len(ahead) > 0 {",
		"false && err == nil && ask != NoAsk && len(ahead) > 0 {"},
	{"1", "what was read ahead is dropped in silence", "upgrade.go",
		"\tp.conn.Conn = p.wire.Conn()\n",
		"\tp.wire.Release()\n\tp.conn.Conn = p.nc\n"},
	{"1", "the server half no longer looks for bytes behind the request", "upgrade.go",
		"out.TLS && len(ahead) > 0 && !c.startsTLS(ahead) {",
		"out.TLS && len(ahead) > 0 && !c.startsTLS(ahead) && false {"},
	{"1", "a ClientHello that comes early is taken for injection", "upgrade.go",
		"return !wraps && b[0] == recordHandshake && (len(b) < 2 || b[1] == 3)",
		"return !wraps && false"},
	{"1", "TLS may come early where it is due in packets", "upgrade.go",
		"return !wraps && b[0]",
		"return (!wraps || true) && b[0]"},
	{"1", "an answer that was there before the question is believed", "wire.go",
		"if ahead := w.Ahead(); len(ahead) > 0 {",
		"if ahead := w.Ahead(); len(ahead) > 1<<30 {"},
	{"2", "control characters of the peer are shown as they are", "transcript.go",
		`mark+Escape(strings.TrimSuffix(l, "\r"))`,
		`mark+strings.TrimSuffix(l, "\r")`},
	{"3", "cleartext after a failed upgrade under Required", "starttls.go",
		"if err == nil || c.Mode != Opportunistic {",
		"if err == nil || c.Mode == Implicit {"},
	{"3", "the certificate is not verified", "upgrade.go",
		"t.ServerName = c.config.serverName()",
		"t.ServerName, t.InsecureSkipVerify = c.config.serverName(), true"},
	{"3", "Client takes Opportunistic, which it can not keep", "starttls.go",
		"if c.Mode == Opportunistic {\n\t\tnc.Close()\n\t\treturn nil, &Error{Protocol: p.Info().Name, Stage: StageCleartext, Err: fmt.Errorf(\"%w: only",
		"if false {\n\t\tnc.Close()\n\t\treturn nil, &Error{Protocol: p.Info().Name, Stage: StageCleartext, Err: fmt.Errorf(\"%w: only"},
	{"4", "a line may be of any length", "wire.go", "if len(long) >= w.limits.Line {", "if false {"},
	{"4", "any number of lines", "wire.go", "w.lines > w.limits.Lines", "w.lines > 1<<40"},
	{"4", "a hundred times the time", "upgrade.go", "nc.SetDeadline(now.Add(limit))", "nc.SetDeadline(now.Add(100*limit))"},
	{"4", "a packet may be of any length", "wire.go", "if n < 0 || n > w.limits.Packet {", "if n < 0 {"},
	{"4", "any number of refused commands", "wire.go", "w.refusals > w.limits.Errors", "w.refusals > 1<<40"},
	{"5", "the connection stays open after a failure", "upgrade.go",
		"\tif err != nil {\n\t\tnc.Close()\n\t\te := c.fail(stage, err)",
		"\tif err != nil {\n\t\te := c.fail(stage, err)"},
	{"5", "a reply in clear after a failed handshake", "upgrade.go",
		"\tif err != nil {\n\t\treturn handshakeError(timedOut(err, limit), peer)",
		"\tif err != nil {\n\t\tc.Conn.Write([]byte(\"550 handshake failed\\r\\n\"))\n\t\treturn handshakeError(timedOut(err, limit), peer)"},
	{"6", "errors come without the transcript", "conn.go", "Before: c.before, Transcript: c.transcript", "Before: c.before"},
	{"7", "the transcript of a server keeps what clients send", "wire.go",
		"if from == ClientSide && w.cfg.Side == ServerSide {", "if false {"},
}
