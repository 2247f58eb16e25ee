package httpx

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// This file has the span of a request, with the attributes that OpenTelemetry's conventions for HTTP and gRPC name
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).

// wantsSpan reports whether a request may have a span. Those that only read, such as probes, scrapes and polls, come all the time:
// they have one if their client traces them.
func wantsSpan(method string, t resnet18cloud.Trace) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return t.ID != ""
	}
	return true
}

// methodOf returns the method of a request as the conventions want it: others than the usual ones have one name.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return r.Method
	}
	return "_OTHER"
}

// requestAttrs are the attributes that are known when a request arrives.
func requestAttrs(r *http.Request) []slog.Attr {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	attrs := []slog.Attr{
		slog.String("http.request.method", methodOf(r)), slog.String("url.scheme", scheme), slog.String("url.path", logs.Clip(r.URL.Path)),
		slog.String("network.protocol.version", strings.TrimSuffix(strconv.Itoa(r.ProtoMajor)+"."+strconv.Itoa(r.ProtoMinor), ".0")),
	}
	if r.ContentLength > 0 {
		attrs = append(attrs, slog.Int64("http.request.body.size", r.ContentLength))
	}
	return attrs
}

// nameSpan names the span of a request after its route.
func nameSpan(r *http.Request) {
	if span := tracing.Current(r.Context()); span != nil && r.Pattern != "" {
		span.Rename(r.Pattern)
		_, route, _ := strings.Cut(r.Pattern, " ")
		span.Set(slog.String("http.route", route))
	}
}

// nameGRPCSpan names the span of a call after its method.
func nameGRPCSpan(r *http.Request) {
	if span := tracing.Current(r.Context()); span != nil {
		_, method, _ := strings.Cut(r.Pattern, " /")
		span.Rename(method)
		span.Set(slog.String("rpc.system.name", "grpc"), slog.String("rpc.method", method))
	}
}

// failSpan notes the error of a request in its span. That the client made a mistake or left is no failure of the server.
func failSpan(r *http.Request, e *resnet18cloud.Error) {
	span := tracing.Current(r.Context())
	if Status(e.Code) < http.StatusInternalServerError {
		span.SetCode(e.Code)
		return
	}
	span.Fail(e)
}

// spanWriter notes the status of a response.
type spanWriter struct {
	http.ResponseWriter
	span   *tracing.Span
	status int // zero until it is known
}

// WriteHeader implements http.ResponseWriter.
func (w *spanWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK { // those below are not final
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *spanWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *spanWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// end ends the span of a request whose handler has returned.
func (w *spanWriter) end() {
	if w.status != 0 {
		w.span.Set(slog.Int("http.response.status_code", w.status))
	}
	w.span.End()
}
