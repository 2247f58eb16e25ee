package sse_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/sse"
)

func TestReader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ stream, want string }{
		"empty":          {"", ""},
		"two":            {"event: a\ndata: 1\n\ndata:2\n\n", "a=1 =2 "},
		"comment":        {": hello\n\nevent: a\n\ndata: 1\n\n", "=1 "},
		"several lines":  {"data: 1\ndata: 2\n\n", "=1|2 "},
		"carriage":       {"event: a\r\ndata: 1\r\n\r\n", "a=1 "},
		"other fields":   {"retry: 3\nevent: b\ndata: x:y\n\n", "b=x:y "},
		"cut off":        {"data: 1\n\ndata: 2\n", "=1 "},
		"too long":       {"data: " + strings.Repeat("x", 200) + "\n\n", "error"},
		"many long ones": {strings.Repeat("data: "+strings.Repeat("x", 50)+"\n", 3) + "\n", "error"},
		"empty data":     {"data\n\n", "= "},
		"ids stay":       {"id: 7\ndata: 1\n\ndata: 2\n\nid:8\n\nevent: a\ndata: 3\n\n", "7:=1 7:=2 8:a=3 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := read(t, test.stream); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// read returns all events as text, and "error" for one that is not the end.
func read(t *testing.T, stream string) string {
	t.Helper()
	var b strings.Builder
	for r := sse.NewReader(strings.NewReader(stream), 100); ; {
		e, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return b.String()
		case err != nil:
			return "error"
		case len(e.Data) > 100:
			t.Fatalf("an event of %d bytes", len(e.Data))
		}
		if e.ID != "" {
			b.WriteString(e.ID + ":")
		}
		b.WriteString(e.Name + "=" + strings.ReplaceAll(string(e.Data), "\n", "|") + " ")
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{"", "event: a\ndata: 1\n\n", "data\ndata\n\n", ":\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, stream string) { read(t, stream) })
}
