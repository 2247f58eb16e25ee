package httpx

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// This file has unary calls of gRPC as handlers of net/http: a message in the body of a request, a message in the body of the
// response, and the status in trailers (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).

const (
	grpcType     = "application/grpc"
	grpcPrefix   = 5 // bytes before a message: whether it is compressed, and its length
	grpcInternal = 13
)

var grpcStatusOf = map[resnet18cloud.Code]int{
	resnet18cloud.CodeInvalid: 3, resnet18cloud.CodeTooLarge: 3, resnet18cloud.CodeUndecodable: 3, // INVALID_ARGUMENT
	resnet18cloud.CodeUnauthorized: 16, // UNAUTHENTICATED
	resnet18cloud.CodeForbidden:    7,  // PERMISSION_DENIED
	resnet18cloud.CodeNotFound:     5,  // NOT_FOUND
	resnet18cloud.CodeConflict:     10, // ABORTED
	resnet18cloud.CodeUnsuited:     9,  // FAILED_PRECONDITION
	resnet18cloud.CodeUnsupported:  12, // UNIMPLEMENTED
	resnet18cloud.CodeRateLimited:  8,  // RESOURCE_EXHAUSTED
	resnet18cloud.CodeCancelled:    1,  // CANCELLED
	resnet18cloud.CodeInternal:     grpcInternal,
	resnet18cloud.CodeSlow:         4,                                                                 // DEADLINE_EXCEEDED
	resnet18cloud.CodeDeadline:     4,                                                                 // DEADLINE_EXCEEDED
	resnet18cloud.CodeFull:         14, resnet18cloud.CodeUnavailable: 14, resnet18cloud.CodeLost: 14, // UNAVAILABLE
}

// GRPC adapts h, the handler of a method, as [Handler] does: errors and panics become a status of gRPC. A timeout of the client
// ends the request's context, and is its X-Request-Timeout unless there is one.
func GRPC(log *slog.Logger, h HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
					panic(p)
				}
				log.ErrorContext(r.Context(), "handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p)
				e := &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "Internal error"}
				failSpan(r, e)
				noteCode(r, e.Code)
				writeGRPCError(w, e)
			}
		}()
		nameGRPCSpan(r)
		w.Header().Set("Content-Type", grpcType)
		err := callGRPC(w, r, h)
		if err == nil {
			return
		}
		e := resnet18cloud.AsError(err)
		report(log, r, e)
		writeGRPCError(w, e)
	})
}

// callGRPC calls h with the client's timeout.
func callGRPC(w http.ResponseWriter, r *http.Request, h HandlerFunc) error {
	if r.ProtoMajor != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), grpcType) {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: "This is a method of gRPC",
			Hint: "call it with a client of gRPC, or use the endpoints below /v2"}
	}
	text := r.Header.Get("Grpc-Timeout")
	if text == "" {
		return h(w, r)
	}
	timeout, ok := parseGRPCTimeout(text)
	if !ok {
		return invalid(fmt.Sprintf("grpc-timeout %.20q is not one", text), nil)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	r = r.WithContext(ctx)
	if r.Header.Get("X-Request-Timeout") == "" {
		r.Header.Set("X-Request-Timeout", max(timeout, time.Millisecond).String())
	}
	return h(w, r)
}

// parseGRPCTimeout reads up to eight digits and a unit.
func parseGRPCTimeout(text string) (time.Duration, bool) {
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
	unit, ok := units[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if !ok || err != nil || len(text) > 9 {
		return 0, false
	}
	const longest = 24 * time.Hour
	return time.Duration(min(n, uint64(longest/unit))) * unit, true
}

// Message reads the message of a call and calls use with it. The bytes are reused after use returns. Limits and errors are
// those of [Uploads.Body].
func (u *Uploads) Message(w http.ResponseWriter, r *http.Request, use func([]byte) error) error {
	up := u.open(w, r)
	defer up.close()
	limit := u.limits.ImageBytes
	var prefix [grpcPrefix]byte
	if _, err := io.ReadFull(up, prefix[:]); err != nil {
		return bodyError("the body is not a message of gRPC", err, limit)
	}
	up.announced = int64(binary.BigEndian.Uint32(prefix[1:]))
	switch {
	case prefix[0] != 0:
		w.Header().Set("Grpc-Accept-Encoding", "identity")
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: "Compressed messages are not supported",
			Hint: "images are already compressed: call without compression"}
	case up.announced > limit:
		return tooLarge(limit)
	}
	var body resnet18cloud.Image
	var err error
	if up.announced == 0 {
		err = readRest(up)
	} else {
		body, err = readBytes(up, unnamed, up, limit)
	}
	if err == nil {
		err = up.arrived()
	}
	switch {
	case err != nil:
		return err
	case int64(len(body.Bytes)) != up.announced:
		return invalid("the body is not one message of gRPC", nil)
	}
	return use(body.Bytes)
}

// Body reads the body of a request, of the size of an image at most, and calls use with it. The bytes are reused after use
// returns. hold makes the memory that use may take besides n bytes, until the next call or the end of use; its error is
// CodeFull as described at [Uploads]. More than all uploads may have is held as that. Errors are those of [Uploads.Image].
func (u *Uploads) Body(w http.ResponseWriter, r *http.Request, use func(body []byte, hold func(n int64) error) error) error {
	up := u.open(w, r)
	defer up.close()
	if r.ContentLength > u.limits.ImageBytes {
		return tooLarge(u.limits.ImageBytes)
	}
	source, err := up.decoded(w, u.limits.ImageBytes+formOverhead)
	if err != nil {
		return err
	}
	body, err := readBytes(source, unnamed, up, u.limits.ImageBytes)
	if err == nil {
		err = up.arrived()
	}
	if err != nil {
		return err
	}
	return use(body.Bytes, up.hold)
}

// WriteMessage answers a call. It ignores write errors, which are the client's concern.
func WriteMessage(w http.ResponseWriter, message []byte) {
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) // of at most some megabytes
	_, _ = w.Write(append(prefix, message...))
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
}

// writeGRPCError writes a response of headers only.
func writeGRPCError(w http.ResponseWriter, e *resnet18cloud.Error) {
	status, ok := grpcStatusOf[e.Code]
	if !ok {
		status = grpcInternal
	}
	text := e.Message
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	w.Header().Set("Grpc-Status", strconv.Itoa(status))
	w.Header().Set("Grpc-Message", percentEncoded(text))
	w.WriteHeader(http.StatusOK)
}

// percentEncoded encodes what is not printable ASCII, and percent signs.
func percentEncoded(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
