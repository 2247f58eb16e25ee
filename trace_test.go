package resnet18cloud_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
)

func TestParseTraceparent(t *testing.T) {
	t.Parallel()
	const sampled = "00-" + traceID + "-" + spanID + "-01"
	for name, test := range map[string]struct {
		text  string
		ok    bool
		flags byte
	}{
		"sampled":                      {sampled, true, 1},
		"not sampled":                  {"00-" + traceID + "-" + spanID + "-00", true, 0},
		"unknown flags are cleared":    {"00-" + traceID + "-" + spanID + "-ff", true, 3},
		"later version":                {"cc-" + traceID + "-" + spanID + "-01", true, 1},
		"later version with more":      {"cc-" + traceID + "-" + spanID + "-01-what-the-future-brings", true, 1},
		"later version, no separator":  {"cc-" + traceID + "-" + spanID + "-01.more", false, 0},
		"version 00 with more":         {sampled + "-more", false, 0},
		"version ff":                   {"ff-" + traceID + "-" + spanID + "-01", false, 0},
		"version in upper case":        {"CC-" + traceID + "-" + spanID + "-01", false, 0},
		"empty":                        {"", false, 0},
		"one byte short":               {sampled[:54], false, 0},
		"upper case":                   {strings.ToUpper(sampled), false, 0},
		"no hexadecimal digit":         {"00-" + traceID[:31] + "g-" + spanID + "-01", false, 0},
		"span without digit":           {"00-" + traceID + "-" + spanID[:15] + "x-01", false, 0},
		"flags without digit":          {"00-" + traceID + "-" + spanID + "-0x", false, 0},
		"trace-id of zeros":            {"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", false, 0},
		"parent-id of zeros":           {"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", false, 0},
		"first separator is not there": {"00." + traceID + "-" + spanID + "-01", false, 0},
		"second separator":             {"00-" + traceID + "." + spanID + "-01", false, 0},
		"third separator":              {"00-" + traceID + "-" + spanID + ".01", false, 0},
		"space before":                 {" " + sampled, false, 0},
		"two headers joined":           {sampled + "," + sampled, false, 0},
	} {
		got, ok := resnet18cloud.ParseTraceparent(test.text)
		want := resnet18cloud.Trace{}
		if test.ok {
			want = resnet18cloud.Trace{ID: traceID, Span: spanID, Flags: test.flags}
		}
		if ok != test.ok || got != want {
			t.Errorf("%s: ParseTraceparent(%q) = %+v, %t, want %+v, %t", name, test.text, got, ok, want, test.ok)
		}
	}
}

func TestParseTracestate(t *testing.T) {
	t.Parallel()
	list := func(n int) string {
		var members []string
		for i := range n {
			members = append(members, "k"+strconv.Itoa(i)+"=v")
		}
		return strings.Join(members, ",")
	}
	long := func(n int) string { return "k=" + strings.Repeat("v", 254) + ",l=" + strings.Repeat("v", n-259) }
	for name, test := range map[string]struct {
		text, want string
		ok         bool
	}{
		"two members":                {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true},
		"nothing":                    {"", "", true},
		"empty members and spaces":   {" , a=1\t,, \tb=2 ,", "a=1,b=2", true},
		"all characters of a key":    {"0az_-*/@=1", "0az_-*/@=1", true},
		"all characters of a value":  {"a=!~ +-<>\"", "a=!~ +-<>\"", true},
		"longest key":                {strings.Repeat("k", 256) + "=1", strings.Repeat("k", 256) + "=1", true},
		"32 members":                 {list(32), list(32), true},
		"512 bytes":                  {long(512), long(512), true},
		"33 members":                 {list(33), "", false},
		"513 bytes":                  {long(513), "", false},
		"key of 257 bytes":           {strings.Repeat("k", 257) + "=1", "", false},
		"value of 257 bytes":         {"k=" + strings.Repeat("v", 257), "", false},
		"key twice":                  {"a=1,b=2,a=3", "", false},
		"no value":                   {"a=", "", false},
		"no equals sign":             {"a", "", false},
		"no key":                     {"=1", "", false},
		"key in upper case":          {"A=1", "", false},
		"key begins with a sign":     {"@a=1", "", false},
		"space before equals sign":   {"a =1", "", false},
		"equals sign in the value":   {"a=1=2", "", false},
		"line break":                 {"a=1\nlevel=ERROR", "", false},
		"zero byte":                  {"a=\x00", "", false},
		"DEL":                        {"a=\x7f", "", false},
		"not ASCII":                  {"a=\u00e9", "", false},
		"not UTF-8":                  {"a=\xff", "", false},
		"one malformed among others": {"a=1,b,c=3", "", false},
	} {
		got, ok := resnet18cloud.ParseTracestate(test.text)
		if ok != test.ok || ok && got != test.want {
			t.Errorf("%s: ParseTracestate(%.60q) = %.60q, %t, want %.60q, %t", name, test.text, got, ok, test.want, test.ok)
		}
	}
}

func TestNewTraceIsWellFormed(t *testing.T) {
	t.Parallel()
	first := resnet18cloud.NewTrace()
	for name, made := range map[string]resnet18cloud.Trace{"new": first, "child": first.Child(), "second": resnet18cloud.NewTrace()} {
		if got, ok := resnet18cloud.ParseTraceparent(made.Traceparent()); !ok || got != made {
			t.Errorf("%s: ParseTraceparent(%q) = %+v, %t, want %+v", name, made.Traceparent(), got, ok, made)
		}
	}
	if child := first.Child(); child.ID != first.ID || child.Span == first.Span {
		t.Errorf("child %+v of %+v, want the same ID and another span", child, first)
	}
	if other := resnet18cloud.NewTrace(); other.ID == first.ID {
		t.Errorf("two traces have the ID %s", first.ID)
	}
	if got := (resnet18cloud.Trace{}).Traceparent(); got != "" {
		t.Errorf("traceparent of no trace is %q, want none", got)
	}
}

func TestValidRequestID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"f18d7c0a-e37f-4f6c-b214-542dd751b0e3": true, "01ARZ3NDEKTSV4RRFFQ69G5FAV": true, "a": true, "A/b+c=": true,
		"gateway:7.x_1": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\nb": false, "a\x00": false, `a"b`: false, "é": false,
		"a,b": false, "<script>": false, "a\\b": false, "a@b": false,
	} {
		if got := resnet18cloud.ValidRequestID(id); got != want {
			t.Errorf("ValidRequestID(%q) = %t, want %t", id, got, want)
		}
	}
}

func TestTraceInContext(t *testing.T) {
	t.Parallel()
	if got := resnet18cloud.TraceFrom(t.Context()); got != (resnet18cloud.Trace{}) {
		t.Errorf("trace of an empty context is %+v", got)
	}
	want := resnet18cloud.NewTrace()
	if got := resnet18cloud.TraceFrom(resnet18cloud.WithTrace(t.Context(), want)); got != want {
		t.Errorf("TraceFrom = %+v, want %+v", got, want)
	}
}

// FuzzParseTraceparent checks that whatever is accepted is passed on with the same IDs, in a form that is accepted.
func FuzzParseTraceparent(f *testing.F) {
	f.Add("00-" + traceID + "-" + spanID + "-01")
	f.Add("cc-" + traceID + "-" + spanID + "-ff-more")
	f.Add("00-" + strings.Repeat("0", 32) + "-" + spanID + "-01")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := resnet18cloud.ParseTraceparent(text)
		if !ok {
			if got != (resnet18cloud.Trace{}) {
				t.Errorf("ParseTraceparent(%q) = %+v, which was refused", text, got)
			}
			return
		}
		again, ok := resnet18cloud.ParseTraceparent(got.Traceparent())
		if !ok || again != got || !strings.Contains(text, got.ID+"-"+got.Span) {
			t.Errorf("ParseTraceparent(%q) = %+v, and again %+v, %t", text, got, again, ok)
		}
	})
}

// FuzzParseTracestate checks that whatever is accepted is bounded, fits into a header, and is accepted again.
func FuzzParseTracestate(f *testing.F) {
	f.Add("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
	f.Add(" , a@b/c*d=1 2\t,,\tb=2 ,")
	f.Add("a=1,a=2")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := resnet18cloud.ParseTracestate(text)
		if !ok {
			return
		}
		if again, ok := resnet18cloud.ParseTracestate(got); !ok || again != got {
			t.Errorf("ParseTracestate(%q) = %q, and again %q, %t", text, got, again, ok)
		}
		if len(got) > 512 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("ParseTracestate(%q) = %q, which is no header", text, got)
		}
	})
}
