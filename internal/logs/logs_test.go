package logs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

func TestClip(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("x", logs.MaxBytes)
	for name, test := range map[string]struct{ in, want string }{
		"empty":                   {"", ""},
		"at the limit":            {whole, whole},
		"one byte more":           {whole + "y", whole + "... (513 bytes)"},
		"in the middle of a rune": {whole[1:] + "é", whole[1:] + "... (513 bytes)"},
	} {
		if got := logs.Clip(test.in); got != test.want {
			t.Errorf("%s: Clip = %d bytes ending with %q, want %q", name, len(got), got[max(0, len(got)-20):], test.want[max(0, len(test.want)-20):])
		}
	}
}

type object struct{ Text string }

// TestLinesAreBounded logs what a client could choose, in every kind of attribute.
func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	for _, format := range []string{"text", "json"} {
		for name, attr := range map[string]any{
			"string": long, "error": errors.New(long), "strings": []string{long, long}, "object": object{long}, "pointer": &object{long},
			"group": slog.GroupValue(slog.String("a", long), slog.String("b", long)), "bytes": []byte(long), "zero bytes": strings.Repeat("\x00", 100_000),
		} {
			var out bytes.Buffer
			log := logs.New(&out, slog.LevelInfo, format)
			log.With("with", long).Info(long, name, attr)
			if out.Len() == 0 || out.Len() > 10*logs.MaxBytes {
				t.Errorf("%s: a line with a long %s has %d bytes", format, name, out.Len())
			}
		}
	}
}

// TestShortValuesStayAsTheyAre checks that bounding does not change the form of what is short.
func TestShortValuesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logs.New(&out, slog.LevelInfo, "json").Warn("message", "list", []string{"a", "b"}, "number", 7, "error", errors.New("oops"))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	list, _ := got["list"].([]any)
	if got["level"] != "WARN" || got["msg"] != "message" || len(list) != 2 || got["number"] != 7.0 || got["error"] != "oops" {
		t.Errorf("line %s", out.String())
	}
}

func TestLinesHaveTheTrace(t *testing.T) {
	t.Parallel()
	trace := resnet18cloud.NewTrace()
	trace.RequestID = "from-gateway"
	for name, test := range map[string]struct {
		trace resnet18cloud.Trace
		args  []any
		want  string
	}{
		"no trace":          {resnet18cloud.Trace{}, nil, "msg=m\n"},
		"with request ID":   {trace, nil, "msg=m x_request_id=from-gateway trace_id=" + trace.ID + "\n"},
		"of a record":       {trace, []any{"request_id", "record"}, "msg=m request_id=record x_request_id=from-gateway trace_id=" + trace.ID + "\n"},
		"the same ID":       {trace, []any{"a", 1, "request_id", "from-gateway"}, "msg=m a=1 request_id=from-gateway trace_id=" + trace.ID + "\n"},
		"without header ID": {resnet18cloud.Trace{ID: trace.ID}, []any{"request_id", "record"}, "msg=m request_id=record trace_id=" + trace.ID + "\n"},
	} {
		var out bytes.Buffer
		log := logs.New(&out, slog.LevelInfo, "text")
		ctx := t.Context()
		if test.trace.ID != "" {
			ctx = resnet18cloud.WithTrace(ctx, test.trace)
		}
		log.InfoContext(ctx, "m", test.args...)
		if got := out.String(); !strings.HasSuffix(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
