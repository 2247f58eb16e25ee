package resnet18cloud

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Trace identifies a client's request in the logs of all processes that work on it. It has the values of the headers
// X-Request-Id, traceparent and tracestate (W3C Trace Context, https://www.w3.org/TR/trace-context/). The zero value is no
// trace.
type Trace struct {
	RequestID string // X-Request-Id; empty if the request has another ID, such as that of its record
	Given     bool   // the client chose RequestID
	ID        string // trace-id: 32 lower-case hexadecimal digits
	Span      string // parent-id: 16 lower-case hexadecimal digits, of one process's part of the work
	Flags     byte   // trace-flags
	State     string // tracestate, of the client's tracing systems; empty if there is none
}

// knownFlags are the flags that level 2 of the specification defines: sampled and random. Others must not be passed on.
const knownFlags = 0b11

// NewTrace returns a trace with a random ID, for a request that has none.
func NewTrace() Trace {
	return Trace{ID: randomHex(16)}.Child()
}

// Child returns the trace for one part of the work: the same ID with a new span.
func (t Trace) Child() Trace {
	t.Span = randomHex(8)
	return t
}

// sampled is the flag of a trace that is recorded.
const sampled = 0b01

// Sampled reports whether spans of the trace are recorded: the client decides, or the server that the trace began at.
func (t Trace) Sampled() bool { return t.Flags&sampled != 0 }

// Traceparent returns the value of the header traceparent, in version 00. It is empty if there is no trace.
func (t Trace) Traceparent() string {
	if t.ID == "" {
		return ""
	}
	return "00-" + t.ID + "-" + t.Span + "-" + hex.EncodeToString([]byte{t.Flags})
}

// ParseTraceparent parses a header traceparent:
//
//	00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//	version-trace-id-parent-id-flags
//
// It accepts later versions, which may append fields (section 3.2.4). ok is false for any other text; the header is then
// to be ignored.
func ParseTraceparent(text string) (t Trace, ok bool) {
	const length = 55 // of version 00
	if len(text) < length || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return Trace{}, false
	}
	version := text[:2]
	t = Trace{ID: text[3:35], Span: text[36:52]}
	switch {
	case !isHex(version) || version == "ff":
		return Trace{}, false
	case len(text) > length && (version == "00" || text[length] != '-'):
		return Trace{}, false
	case !isHex(t.ID) || !isHex(t.Span) || !isHex(text[53:length]):
		return Trace{}, false
	case strings.Trim(t.ID, "0") == "" || strings.Trim(t.Span, "0") == "":
		return Trace{}, false
	}
	flags, _ := hex.DecodeString(text[53:length]) // checked above
	t.Flags = flags[0] & knownFlags
	return t, true
}

// Limits on a tracestate (section 3.3.1.1), in bytes and in members of the list. The specification asks to pass on at
// least this many bytes.
const (
	maxTracestate        = 512
	maxTracestateMembers = 32
)

// ParseTracestate parses a header tracestate, whose lines, if there are several, are joined with commas:
//
//	rojo=00f067aa0ba902b7,congo=t61rcWkgMzE
//	key=value, the latest first
//
// It returns the list without spaces around members and without empty members. ok is false for a list that is malformed,
// has a key twice, more than 32 members or more than 512 bytes; the header is then to be ignored.
func ParseTracestate(text string) (state string, ok bool) {
	var members []string
	seen := map[string]bool{}
	for member := range strings.SplitSeq(text, ",") {
		if member = strings.Trim(member, " \t"); member == "" {
			continue
		}
		key, value, found := strings.Cut(member, "=")
		if !found || seen[key] || !isTracestateKey(key) || !isTracestateValue(value) || len(members) == maxTracestateMembers {
			return "", false
		}
		seen[key] = true
		members = append(members, member)
	}
	state = strings.Join(members, ",")
	return state, len(state) <= maxTracestate
}

// isTracestateKey reports whether text is a key (section 3.3.1.3.1, level 2): up to 256 lower-case letters, digits and
// characters of _-*/@, of which the first is a letter or a digit.
func isTracestateKey(text string) bool {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"
	return text != "" && len(text) <= 256 && strings.Contains(alphanumeric, text[:1]) && strings.Trim(text, alphanumeric+"_-*/@") == ""
}

// isTracestateValue reports whether text is a value (section 3.3.1.3.2): up to 256 printable characters of ASCII but
// comma and equals sign. Spaces at the end have been removed.
func isTracestateValue(text string) bool {
	return text != "" && len(text) <= 256 &&
		!strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == ',' || r == '=' })
}

// maxRequestID is the maximum length of an X-Request-Id, in bytes.
const maxRequestID = 128

// ValidRequestID reports whether an X-Request-Id of a client is taken over: 1 to 128 letters, digits and characters of
// -_.:+/=, which includes UUIDs, ULIDs and Base64, and no character that would need quoting in a log.
func ValidRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-_.:+/=", c) >= 0:
		default:
			return false
		}
	}
	return true
}

type traceKey struct{}

// WithTrace returns a context with the trace of the request that the work is for.
func WithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceFrom returns the trace in the context, or the zero value.
func TraceFrom(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}

// isHex reports whether text has only lower-case hexadecimal digits.
func isHex(text string) bool {
	return strings.Trim(text, "0123456789abcdef") == ""
}

// randomHex returns n random bytes in hexadecimal.
func randomHex(n int) string {
	var b [16]byte
	rand.Read(b[:n])
	return hex.EncodeToString(b[:n])
}
