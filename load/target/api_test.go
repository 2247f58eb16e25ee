package target_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/load/target"
)

// server answers requests without a network: by path, one answer after the other; the last one is repeated.
type server map[string][]answer

type answer struct {
	status int
	body   string
	after  time.Duration
}

func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	answers := s[r.URL.Path]
	if len(answers) == 0 {
		return nil, errors.New("no such path: " + r.URL.Path)
	}
	a := answers[0]
	if len(answers) > 1 {
		s[r.URL.Path] = answers[1:]
	}
	time.Sleep(a.after)
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func (s server) client() *client.Client {
	return &client.Client{BaseURL: "http://server", HTTP: &http.Client{Transport: s}}
}

const accepted = `{"request_id":"id"}`

func TestAsyncSend(t *testing.T) {
	for name, c := range map[string]struct {
		submit answer
		result []answer
		want   target.Answer // Accepted is left out
		code   resnet18cloud.Code
		took   time.Duration
	}{
		"completed after a long poll": {
			submit: answer{202, accepted, time.Millisecond},
			result: []answer{{200, `{"status":"processing"}`, 20 * time.Second}, {200, `{"status":"completed","timing":{"queue":0.5},"result":{"predictions":["junco","bulbul"],"timing":{"inference":0.25}}}`, time.Second}},
			want:   target.Answer{Label: "junco", Queue: 500 * time.Millisecond, Inference: 250 * time.Millisecond},
			took:   21*time.Second + time.Millisecond,
		},
		"polls at intervals without long polls": {
			submit: answer{202, accepted, 0},
			result: []answer{{200, `{"status":"queued"}`, 0}, {200, `{"status":"processing"}`, 0}, {200, `{"status":"completed","result":{"inference_time":0.004,"predictions":["junco"]}}`, 0}},
			want:   target.Answer{Label: "junco", Inference: 4 * time.Millisecond},
			took:   100 * time.Millisecond,
		},
		"computed by another request": {
			submit: answer{202, accepted, 0},
			result: []answer{{200, `{"status":"completed","from_cache":true,"result":{"predictions":["junco"],"model":"resnet18-1","precision":"int8"}}`, 0}},
			want:   target.Answer{Label: "junco", FromCache: true, Model: "resnet18-1 int8"},
		},
		"cached":                    {submit: answer{200, `{"from_cache":true,"result":{"predictions":["junco"]}}`, 0}, want: target.Answer{Label: "junco", FromCache: true}},
		"refused":                   {submit: answer{503, `{"error":"Queue is full","code":"full"}`, 0}, code: resnet18cloud.CodeFull},
		"no result":                 {submit: answer{202, accepted, 0}, result: []answer{{200, `{"status":"completed"}`, 0}}, code: resnet18cloud.CodeInternal},
		"failed":                    {submit: answer{202, accepted, 0}, result: []answer{{200, `{"status":"failed","error":"late","code":"deadline"}`, 0}}, code: resnet18cloud.CodeDeadline},
		"failed without a code":     {submit: answer{202, accepted, 0}, result: []answer{{200, `{"status":"failed","error":"boom"}`, 0}}, code: resnet18cloud.CodeInternal},
		"cancelled":                 {submit: answer{202, accepted, 0}, result: []answer{{200, `{"status":"cancelled"}`, 0}}, code: resnet18cloud.CodeCancelled},
		"lost by the server":        {submit: answer{202, accepted, 0}, result: []answer{{404, `{"error":"unknown","code":"not_found"}`, 0}}, code: resnet18cloud.CodeNotFound},
		"cached, without any label": {submit: answer{200, `{"from_cache":true,"result":{}}`, 0}, want: target.Answer{FromCache: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := server{"/predict_async": {c.submit}, "/result/id": c.result}
				start := time.Now()
				var sent time.Duration
				got, err := target.Async{Client: s.client()}.Send(t.Context(), resnet18cloud.Image{Name: "a.jpg"}, func() { sent = time.Since(start) })
				if e, _ := errors.AsType[*resnet18cloud.Error](err); (c.code == "") != (err == nil) || e != nil && e.Code != c.code {
					t.Errorf("error %v, want code %q", err, c.code)
				}
				if sent != c.submit.after {
					t.Errorf("sent after %s, want %s: nobody needs the image while its result is awaited", sent, c.submit.after)
				}
				if took := time.Since(start); c.took > 0 && took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if wait := got.Accepted.Sub(start); wait != c.submit.after {
					t.Errorf("accepted after %s, want %s, also with an error", wait, c.submit.after)
				}
				got.Accepted = time.Time{}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// TestTargetHidesPasswords checks that reports, which people pass on, do not have the password of a URL.
func TestTargetHidesPasswords(t *testing.T) {
	t.Parallel()
	for want, target := range map[string]target.Target{
		"http://me:xxxxx@server/a (async)": target.Async{Client: &client.Client{BaseURL: "http://me:secret@server/a"}},
		"http://server (sync)":             target.Sync{Client: &client.Client{BaseURL: "http://server"}},
		"POST http://me:xxxxx@server/a":    target.HTTP{URL: "http://me:secret@server/a"},
		"POST :":                           target.HTTP{URL: ":"},
	} {
		if got := target.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	ok, gone := answer{200, "", 0}, answer{404, "", 0}
	for name, c := range map[string]struct {
		target target.Target
		want   string // in the error; empty for none
	}{
		"dispatcher":            {target.Async{Client: server{"/health": {ok}, "/predict_async": {{405, "", 0}}}.client()}, ""},
		"replica":               {target.Async{Client: server{"/health": {ok}, "/predict_async": {gone}}.client()}, target.ErrNotAsync.Error()},
		"no async server":       {target.Async{Client: server{}.client()}, "no such path"},
		"async, then gone":      {target.Async{Client: server{"/health": {ok}}.client()}, "no such path"},
		"sync":                  {target.Sync{Client: server{"/health": {ok}}.client()}, ""},
		"no sync server":        {target.Sync{Client: server{}.client()}, "no such path"},
		"any answer":            {target.HTTP{Client: server{"/x": {{500, "", 0}}}.client().HTTP, URL: "http://server/x"}, ""},
		"ready":                 {target.HTTP{Client: server{"/ready": {ok}}.client().HTTP, URL: "http://server/x", Ready: "http://server/ready"}, ""},
		"not ready":             {target.HTTP{Client: server{"/ready": {{300, "", 0}}}.client().HTTP, URL: "http://server/x", Ready: "http://server/ready"}, "GET http://server/ready"},
		"no other server":       {target.HTTP{Client: server{}.client().HTTP, URL: "http://server/x"}, "no such path"},
		"not a URL":             {target.HTTP{Client: server{}.client().HTTP, URL: ":"}, "missing protocol scheme"},
		"address without async": {target.Async{Client: &client.Client{BaseURL: "%"}}, "invalid URL"},
	} {
		if err := c.target.Check(t.Context()); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestSyncSend checks when an answer is known to come from the cache, and from which model.
func TestSyncSend(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]target.Answer{
		`{"predictions":["junco"],"inference_time":0.02,"timing":{"cache":0.001}}`:                                                {Label: "junco", FromCache: true, Inference: 20 * time.Millisecond},
		`{"predictions":["junco"],"timing":{"cache":0.001,"forward":0.002},"inference_time":0.02,"model":"m","precision":"fp32"}`: {Label: "junco", Inference: 20 * time.Millisecond, Model: "m fp32"},
		`{"predictions":["junco"],"timing":{"inference":0.02}}`:                                                                   {Label: "junco", Inference: 20 * time.Millisecond},
		`{"predictions":["junco"]}`: {Label: "junco"},
	} {
		s := server{"/predict": {{200, body, 0}}}
		got, err := target.Sync{Client: s.client()}.Send(t.Context(), resnet18cloud.Image{}, func() {})
		got.Accepted = time.Time{}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", body, err, diff)
		}
	}
}

// TestHTTPCache checks which answers of other servers come from a cache.
func TestHTTPCache(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{"HIT": true, "Hit from cloudfront": true, "MISS": false, "Miss from cloudfront": false, "": false, "HITS": false} {
		h := target.HTTP{Client: &http.Client{Transport: &transport{status: 200, header: http.Header{"X-Cache": {header}}}}, URL: "http://server/x"}
		if got, err := h.Send(t.Context(), resnet18cloud.Image{}, func() {}); err != nil || got.FromCache != want {
			t.Errorf("X-Cache %q: from the cache %t, %v, want %t", header, got.FromCache, err, want)
		}
	}
}

func TestHTTPSend(t *testing.T) {
	t.Parallel()
	label := func(answer []byte) (string, error) {
		if len(answer) == 0 {
			return "", io.ErrUnexpectedEOF
		}
		return string(answer), nil
	}
	for name, c := range map[string]struct {
		answer answer
		label  func([]byte) (string, error)
		want   string // label
		err    string
	}{
		"with a label":    {answer{200, "junco", 0}, label, "junco", ""},
		"labels unknown":  {answer{200, "junco", 0}, nil, "", ""},
		"redirected":      {answer{300, " elsewhere\n", 0}, label, "", "300 Multiple Choices: elsewhere"},
		"no label there":  {answer{200, "", 0}, label, "", "read the answer: unexpected EOF"},
		"a long refusal":  {answer{400, strings.Repeat("x", 300), 0}, label, "", "400 Bad Request: " + strings.Repeat("x", 200)},
		"nobody is there": {err: "no such path"},
	} {
		s := server{}
		if c.answer.status > 0 {
			s["/x"] = []answer{c.answer}
		}
		got, err := target.HTTP{Client: s.client().HTTP, URL: "http://server/x", Label: c.label}.Send(t.Context(), resnet18cloud.Image{}, func() {})
		if got.Label != c.want || (err == nil) != (c.err == "") || err != nil && !strings.HasSuffix(err.Error(), c.err) && !strings.Contains(err.Error(), "no such path") {
			t.Errorf("%s: %q, %v; want %q, %q", name, got.Label, err, c.want, c.err)
		}
		if got.Accepted.IsZero() != (c.answer.status == 0) {
			t.Errorf("%s: accepted at %v", name, got.Accepted)
		}
	}
}
