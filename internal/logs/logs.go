// Package logs makes the logger of a command: an slog handler whose lines have a bounded length, because names, paths,
// headers and error texts come from outside, and the IDs of the client's request that the line is about. Only commands
// use it; packages log to the *slog.Logger that they are given, with the request's context.
package logs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
)

// MaxBytes is the maximum length of a message and of each attribute's value, in bytes. A longer one ends with its full
// length. Quoting may make it up to six times longer.
const MaxBytes = 512

// New returns a logger that writes to w in the format "json", or else "text".
func New(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: bounded}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if format == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	return slog.New(traced{h})
}

// Clip shortens text to MaxBytes at a character's boundary, and appends its full length:
//
//	/result/aaaaaaaa... (39012 bytes)
func Clip(text string) string {
	if len(text) <= MaxBytes {
		return text
	}
	return strings.ToValidUTF8(text[:MaxBytes], "") + "... (" + strconv.Itoa(len(text)) + " bytes)"
}

// bounded clips the value of an attribute; the message is one too.
func bounded(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if text := a.Value.String(); len(text) > MaxBytes {
			a.Value = slog.StringValue(Clip(text))
		}
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case slog.Level, *slog.Source:
		default:
			if text := fmt.Sprint(v); len(text) > MaxBytes {
				a.Value = slog.StringValue(Clip(text))
			}
		}
	}
	return a
}

// The attributes for the trace of a request.
const (
	keyXRequestID = "x_request_id"
	keyRequestID  = "request_id" // written by the code that logs: the record's ID
	keyTraceID    = "trace_id"
)

// traced adds the IDs of the trace in the context.
type traced struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	t := resnet18cloud.TraceFrom(ctx)
	if t.ID == "" {
		return h.Handler.Handle(ctx, r)
	}
	r = r.Clone()
	if t.RequestID != "" && !says(r, t.RequestID) {
		r.AddAttrs(slog.String(keyXRequestID, t.RequestID))
	}
	r.AddAttrs(slog.String(keyTraceID, t.ID))
	return h.Handler.Handle(ctx, r)
}

// says reports whether the line already has the ID, as the ID of its record.
func says(r slog.Record, id string) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		found = a.Key == keyRequestID && a.Value.Kind() == slog.KindString && a.Value.String() == id
		return !found
	})
	return found
}

// WithAttrs implements slog.Handler.
func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
