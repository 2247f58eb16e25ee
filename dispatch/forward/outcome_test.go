package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

const address = "http://replica:5000"

// refused is the HTTP client's error if no process listens.
func refused() error {
	return &url.Error{Op: "Post", URL: address, Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}
}

// TestInterruption checks the outcome of attempts that end without a response.
func TestInterruption(t *testing.T) {
	t.Parallel()
	withdrawn := errors.New("withdrawn")
	tests := map[string]struct {
		interruption
		code    resnet18cloud.Code
		message string
		event   eventKind
	}{
		"not reachable": {interruption{err: refused()}, resnet18cloud.CodeUnavailable, "is not reachable", attemptBroken},
		"connection broken, and the retry refused": {interruption{err: refused(), sent: true},
			resnet18cloud.CodeInternal, "closed the connection before responding", attemptBroken},
		"connection broken": {interruption{err: &url.Error{Op: "Post", URL: address, Err: io.EOF}, sent: true},
			resnet18cloud.CodeInternal, "closed the connection before responding", attemptBroken},
		"connection broken before anything was sent": {interruption{err: io.ErrUnexpectedEOF},
			resnet18cloud.CodeInternal, "closed the connection before responding", attemptBroken},
		"connection reset": {interruption{err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}},
			resnet18cloud.CodeInternal, "closed the connection before responding", attemptBroken},
		"timeout": {interruption{err: context.Canceled, attempt: errAttemptTimeout, timeout: 30 * time.Second},
			resnet18cloud.CodeInternal, "did not respond within 30s", attemptBroken},
		"timeout while the replica answers probes": {interruption{err: context.Canceled, attempt: errAttemptTimeout, timeout: 30 * time.Second, alive: true},
			resnet18cloud.CodeInternal, "did not respond within 30s", attemptSlow},
		"timeout while connecting": {interruption{err: refused(), attempt: errAttemptTimeout, timeout: time.Second},
			resnet18cloud.CodeInternal, "did not respond within 1s", attemptBroken},
		"replica hangs": {interruption{err: context.Canceled, attempt: &hungError{address, "no answer"}, sent: true},
			resnet18cloud.CodeInternal, "stopped responding", attemptStopped},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := test.outcome(address)
			e, ok := errors.AsType[*resnet18cloud.Error](o.err)
			if !ok || e.Code != test.code || e.Message != "A replica "+test.message {
				t.Errorf("error %v, want %s: A replica %s", o.err, test.code, test.message)
			}
			if !ok || !strings.Contains(e.Error(), address) {
				t.Errorf("the log's error %q does not name the replica", o.err)
			}
			if o.event != test.event || !o.retry {
				t.Errorf("tells %d, retry %t, want %d, true", o.event, o.retry, test.event)
			}
		})
		t.Run(name+", and the caller has left", func(t *testing.T) {
			t.Parallel()
			left := test.interruption
			left.caller = withdrawn
			if got, want := left.outcome(address), (outcome{err: withdrawn}); got != want {
				t.Errorf("outcome %+v, want %+v", got, want)
			}
		})
	}
}

func TestCausesStayVisible(t *testing.T) {
	t.Parallel()
	hung := &hungError{address, "no answer"}
	if err := (interruption{err: context.Canceled, attempt: hung}).outcome(address).err; !errors.Is(err, hung) ||
		!strings.Contains(err.Error(), "endpoint http://replica:5000 hangs: no answer") {
		t.Errorf("error %v does not name why the attempt was cancelled", err)
	}
	if err := (interruption{err: io.EOF}).outcome(address).err; !errors.Is(err, io.EOF) {
		t.Errorf("error %v does not name its cause", err)
	}
}

// TestReply checks the outcome of each response: its cause, whether another replica is tried, and the event for the
// endpoint's health.
func TestReply(t *testing.T) {
	t.Parallel()
	type blame int
	const (
		image blame = iota
		moment
		replica
	)
	tests := map[string]struct {
		status  int
		body    string
		blame   blame
		code    resnet18cloud.Code
		message string
	}{
		"broken image":         {422, `{"error":"Not a decodable image"}`, image, resnet18cloud.CodeUndecodable, "Not a decodable image"},
		"bomb":                 {413, `{"error":"Too many pixels"}`, image, resnet18cloud.CodeTooLarge, "Too many pixels"},
		"format":               {415, ``, image, resnet18cloud.CodeUnsupported, "A replica returned status 415 Unsupported Media Type"},
		"no image":             {400, `{"error":"No image"}`, image, resnet18cloud.CodeInvalid, "No image"},
		"name too long":        {414, ``, image, resnet18cloud.CodeInvalid, "A replica returned status 414 Request URI Too Long"},
		"full":                 {503, `{"error":"Queue is full"}`, moment, resnet18cloud.CodeFull, "Queue is full"},
		"too many":             {429, ``, moment, resnet18cloud.CodeFull, "A replica returned status 429 Too Many Requests"},
		"slow connection":      {408, ``, replica, resnet18cloud.CodeInternal, "A replica returned status 408 Request Timeout"},
		"crash":                {500, `oops`, replica, resnet18cloud.CodeInternal, "A replica returned status 500 Internal Server Error"},
		"crash with a message": {500, `{"error":"Internal error"}`, replica, resnet18cloud.CodeInternal, "Internal error"},
		"no words":             {500, `{"hint":"h"}`, replica, resnet18cloud.CodeInternal, "A replica returned status 500 Internal Server Error"},
		"bad gateway":          {502, ``, replica, resnet18cloud.CodeInternal, "A replica returned status 502 Bad Gateway"},
		"gateway timeout":      {504, ``, replica, resnet18cloud.CodeInternal, "A replica returned status 504 Gateway Timeout"},
		"wrong place":          {404, ``, replica, resnet18cloud.CodeInternal, "A replica returned status 404 Not Found"},
		"wrong method":         {405, ``, replica, resnet18cloud.CodeInternal, "A replica returned status 405 Method Not Allowed"},
		"no password":          {401, ``, replica, resnet18cloud.CodeInternal, "A replica refuses the dispatcher's key"},
		"not allowed":          {403, `{"error":"The key does not permit this"}`, replica, resnet18cloud.CodeInternal, "A replica refuses the dispatcher's key"},
		"moved":                {307, ``, replica, resnet18cloud.CodeInternal, "A replica returned status 307 Temporary Redirect"},
		"no content":           {204, ``, replica, resnet18cloud.CodeInternal, "A replica returned status 204 No Content"},
		"not JSON":             {200, `<html>`, replica, resnet18cloud.CodeInternal, "A replica returned an invalid response"},
		"no labels":            {200, `{}`, replica, resnet18cloud.CodeInternal, "A replica returned an invalid response"},
		"cut short":            {200, `{"predictions":["junco"`, replica, resnet18cloud.CodeInternal, "A replica returned an invalid response"},
	}
	tells := map[blame]eventKind{image: attemptAnswered, moment: attemptRejected, replica: attemptFailed}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, o := reply{test.status, "7", []byte(test.body)}.outcome(address, resnet18cloud.Want{}, time.Now())
			e, ok := errors.AsType[*resnet18cloud.Error](o.err)
			if !ok || e.Code != test.code || e.Message != test.message || len(result.Predictions) != 0 {
				t.Fatalf("outcome %+v, %v, want %s: %s", result, o.err, test.code, test.message)
			}
			if !strings.Contains(e.Error(), address) {
				t.Errorf("the log's error %q does not name the replica", e)
			}
			if o.event != tells[test.blame] || o.retry != (test.blame != image) {
				t.Errorf("tells %d, retry %t, want %d, %t", o.event, o.retry, tells[test.blame], test.blame != image)
			}
			want := time.Duration(0)
			if test.blame == moment {
				want = 7 * time.Second
			}
			if e.RetryAfter != want {
				t.Errorf("RetryAfter %s, want %s", e.RetryAfter, want)
			}
		})
	}
}

func TestReplyWithResult(t *testing.T) {
	t.Parallel()
	result, o := reply{200, "", []byte(`{"predictions":["junco"],"inference_time":0.5}`)}.outcome(address, resnet18cloud.Want{}, time.Now())
	if want := (outcome{event: attemptAnswered}); o != want || result.Predictions[0] != "junco" || result.InferenceTime != 0.5 {
		t.Errorf("outcome %+v, %+v, want junco and %+v", result, o, want)
	}
}

// TestOneInferenceTime checks that both fields for it have the same value, whatever the replica reports.
func TestOneInferenceTime(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]time.Duration{
		`{"predictions":["junco"],"inference_time":0.5}`:                                           500 * time.Millisecond,
		`{"predictions":["junco"],"timing":{"inference":0.25}}`:                                    250 * time.Millisecond,
		`{"predictions":["junco"],"inference_time":0.5,"timing":{"decode":0.25,"inference":0.25}}`: 250 * time.Millisecond,
		`{"predictions":["junco"]}`:                                                                0,
	} {
		r, err := readResult([]byte(body), resnet18cloud.Want{})
		if err != nil || r.Timing.Inference != want || r.InferenceTime != want.Seconds() {
			t.Errorf("%s: inference_time %g, timing.inference %s, %v, want %s", body, r.InferenceTime, r.Timing.Inference, err, want)
		}
	}
}

// TestReplicasTextsAreBounded checks that a replica cannot make error messages too long.
func TestReplicasTextsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 513)
	for _, status := range []int{422, 500, 503} {
		_, o := reply{status, "", []byte(`{"error":"` + long + `","hint":"` + long + `"}`)}.outcome(address, resnet18cloud.Want{}, time.Now())
		if e := resnet18cloud.AsError(o.err); e.Message != long[:512] || e.Hint != long[:512] {
			t.Errorf("%d: message of %d bytes, hint of %d, want 512", status, len(e.Message), len(e.Hint))
		}
	}
	_, o := reply{422, "", []byte(`{"error":"e","hint":"h"}`)}.outcome(address, resnet18cloud.Want{}, time.Now())
	if e := resnet18cloud.AsError(o.err); e.Hint != "h" {
		t.Errorf("hint %q, want h", e.Hint)
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, "59": 59 * time.Second, "60": time.Minute, "61": time.Minute, "86400": time.Minute,
		"-1": 0, "-9223372036854775808": 0, "9223372036854775807": time.Minute, "soon": 0, "1.5": 0, "5m": 0,
		date(3 * time.Second): 3 * time.Second, date(-time.Second): 0, date(time.Hour): time.Minute,
	} {
		if got := parseRetryAfter(header, now); got != want {
			t.Errorf("parseRetryAfter(%q) = %s, want %s", header, got, want)
		}
	}
}

// TestWorse checks which of two failures is reported, in either order.
func TestWorse(t *testing.T) {
	t.Parallel()
	failure := func(code resnet18cloud.Code, after time.Duration) error {
		return &resnet18cloud.Error{Code: code, RetryAfter: after}
	}
	had := failure(resnet18cloud.CodeInternal, 0)
	full, soon, late := failure(resnet18cloud.CodeFull, 0), failure(resnet18cloud.CodeFull, 1), failure(resnet18cloud.CodeFull, 2)
	gone := failure(resnet18cloud.CodeUnavailable, 0)
	for name, test := range map[string]struct{ more, less error }{
		"one received the image, the other is full":        {had, soon},
		"one received the image, the other is unreachable": {had, gone},
		"one is full, the other is unreachable":            {full, gone},
		"one has a shorter retry time":                     {soon, late},
		"only one has a retry time":                        {late, full},
		"first attempt":                                    {gone, nil},
	} {
		if test.less != nil {
			if got := worse(test.more, test.less); got != test.more { //nolint:errorlint // which of the two
				t.Errorf("%s: the other one is reported", name)
			}
		}
		if got := worse(test.less, test.more); got != test.more { //nolint:errorlint // which of the two
			t.Errorf("%s, in the other order: the other one is reported", name)
		}
	}
	for _, code := range []resnet18cloud.Code{resnet18cloud.CodeInternal, resnet18cloud.CodeFull, resnet18cloud.CodeUnavailable} {
		first, second := failure(code, 1), failure(code, 1)
		if worse(first, second) != first { //nolint:errorlint // which of the two
			t.Errorf("of two that are %s the second is reported", code)
		}
	}
}

// FuzzReply checks that any response of a replica becomes a result with labels or an error within limits.
func FuzzReply(f *testing.F) {
	f.Add(200, "", []byte(`{"predictions":["junco"],"timing":{"decode":0.01}}`))
	f.Add(503, "3", []byte(`{"error":"Queue is full","retry_after":2.5}`))
	f.Add(422, "Fri, 02 Jan 2026 03:04:05 GMT", []byte(`{"error":"Not a decodable image","hint":"send a JPEG"}`))
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		result, o := reply{status, retryAfter, body}.outcome(address, resnet18cloud.Want{}, time.Now())
		if o.err == nil {
			if len(result.Predictions) == 0 || o.retry || o.event != attemptAnswered {
				t.Errorf("result %+v, outcome %+v", result, o)
			}
			return
		}
		e, ok := errors.AsType[*resnet18cloud.Error](o.err)
		if !ok || e.Message == "" || len(e.Message) > 512 || len(e.Hint) > 512 || e.RetryAfter < 0 || e.RetryAfter > time.Minute {
			t.Errorf("error %+v is out of bounds", o.err)
		}
		if o.event == nothing || o.retry == (o.event == attemptAnswered) {
			t.Errorf("outcome %+v", o)
		}
	})
}

// TestNoModel checks that a replica without the model that a client names is as good as others, and that the client sees its
// reason.
func TestNoModel(t *testing.T) {
	t.Parallel()
	for body, message := range map[string]string{
		`{"error":"There is no model \"x\"","hint":"use one of: a, b","code":"not_found"}`: `There is no model "x"`,
		`404 page not found`: "A replica does not have the model any more",
	} {
		_, o := reply{http.StatusNotFound, "", []byte(body)}.outcome(address, resnet18cloud.Want{Model: "x"}, time.Now())
		e, ok := errors.AsType[*resnet18cloud.Error](o.err)
		if !ok || e.Code != resnet18cloud.CodeNotFound || e.Message != message || e.Hint == "" || !o.retry || o.event != attemptLacking {
			t.Errorf("%s: %+v, %v; want not_found with %q, another replica, and no fault", body, o, o.err, message)
		}
	}
}
