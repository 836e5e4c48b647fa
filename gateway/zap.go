package gateway

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"go.uber.org/zap/zapcore"
)

// zapLog writes what certmagic says into our log: warnings and errors as such,
// and each of its many steps for those who debug.
type zapLog struct{ log *slog.Logger }

var slogLevels = map[zapcore.Level]slog.Level{zapcore.InfoLevel: slog.LevelDebug, zapcore.WarnLevel: slog.LevelWarn, zapcore.ErrorLevel: slog.LevelError}

func (z zapLog) Enabled(l zapcore.Level) bool {
	level, ok := slogLevels[l]
	return ok && z.log.Enabled(context.Background(), level)
}

func (z zapLog) With(fields []zapcore.Field) zapcore.Core { return zapLog{z.log.With(args(fields)...)} }

func (z zapLog) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return to.AddCore(e, z)
	}
	return to
}

func (z zapLog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	z.log.Log(context.Background(), slogLevels[e.Level], "acme: "+e.Message, args(fields)...)
	return nil
}

func (zapLog) Sync() error { return nil }

// args are fields as slog takes them.
func args(fields []zapcore.Field) (out []any) {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	for _, k := range slices.Sorted(maps.Keys(m.Fields)) {
		out = append(out, k, m.Fields[k])
	}
	return out
}
