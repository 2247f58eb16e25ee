package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
)

// inMemory returns a client of a handler without a network, so that time can be a test's.
func inMemory(h http.HandlerFunc) *client.Client {
	return &client.Client{BaseURL: "http://dispatcher", HTTP: &http.Client{Transport: roundTrips(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h(w, r)
		return w.Result(), nil
	})}}
}

type roundTrips func(*http.Request) (*http.Response, error)

func (f roundTrips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// full answers as a dispatcher whose queue is full.
func full(w http.ResponseWriter, after string) {
	w.Header().Set("Retry-After", after)
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintf(w, `{"error":"Queue is full","code":"full","retry_after":%s}`, after)
}

// TestRetryAfter checks that a refused image is sent again, with its bytes, as soon as the server allows, and no sooner.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, requests := time.Now(), 0
		c := inMemory(func(w http.ResponseWriter, r *http.Request) {
			requests++
			_, header, err := r.FormFile("image")
			if err != nil || header.Filename != "a.jpg" || header.Size != int64(len(picture("a.jpg").Bytes)) {
				t.Errorf("attempt %d has no image: %v", requests, err)
			}
			if requests < 3 {
				full(w, "4")
				return
			}
			fmt.Fprint(w, `{"request_id":"x"}`)
		})
		c.Retry = client.Retry{Attempts: 3}
		ticket, err := c.Submit(t.Context(), picture("a.jpg"), client.Options{})
		if took := time.Since(start); err != nil || ticket.RequestID != "x" || took < 8*time.Second || took > 10*time.Second {
			t.Errorf("Submit = %+v, %v after %v and %d requests; want x after 8 to 10 s", ticket, err, took, requests)
		}
	})
}

// TestRetryEnds checks that a client gives up after its attempts, and at once if the context would end first.
func TestRetryEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := inMemory(func(w http.ResponseWriter, _ *http.Request) { requests++; full(w, "2") })
		c.Retry = client.Retry{Attempts: 4}
		if _, err := c.Submit(t.Context(), picture("a.jpg"), client.Options{}); !client.IsFull(err) || requests != 4 {
			t.Errorf("%d requests, %v; want 4 and a full queue", requests, err)
		}
		requests = 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.Submit(ctx, picture("a.jpg"), client.Options{}); !client.IsFull(err) || requests != 1 || time.Since(start) != 0 {
			t.Errorf("%d requests in %v, %v; want 1 and a full queue immediately", requests, time.Since(start), err)
		}
	})
}

// TestRetryOfBrokenConnections checks that an image whose connection broke is sent again only with an idempotency key, as
// the server may have accepted it.
func TestRetryOfBrokenConnections(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]int{"": 1, "order-66": 3} {
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			c := &client.Client{BaseURL: "http://dispatcher", Retry: client.Retry{Attempts: 3}, HTTP: &http.Client{Transport: roundTrips(func(*http.Request) (*http.Response, error) {
				requests++
				return nil, &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
			})}}
			_, err := c.Submit(t.Context(), picture("a.jpg"), client.Options{IdempotencyKey: key})
			if !errors.Is(err, io.ErrUnexpectedEOF) || requests != want {
				t.Errorf("key %q: %d requests, %v; want %d", key, requests, err, want)
			}
		})
	}
}

// TestPredictTakesLong checks that Predict waits for a result that takes longer than the server holds the request.
func TestPredictTakesLong(t *testing.T) {
	t.Parallel()
	c := inMemory(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"request_id":"x","status":"queued"}`)
			return
		}
		if r.URL.Path == "/result/x" {
			fmt.Fprint(w, `{"request_id":"x","status":"completed","result":{"filename":"a.jpg","predictions":["goldfinch"]}}`)
		}
	})
	if r, err := c.Predict(t.Context(), picture("a.jpg"), client.Options{}); err != nil || len(r.Predictions) != 1 {
		t.Errorf("Predict = %+v, %v", r, err)
	}
	lie := inMemory(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) })
	if _, err := lie.Predict(t.Context(), picture("a.jpg"), client.Options{}); err == nil {
		t.Error("an empty answer is no error")
	}
}

func TestSubmitBatch(t *testing.T) {
	t.Parallel()
	c := start(t)
	images := []resnet18cloud.Image{picture("a.jpg"), picture("broken.jpg"), picture("b.jpg")}
	items, err := c.SubmitBatch(t.Context(), images, client.Options{IdempotencyKey: "trip"})
	if err != nil || len(items) != 3 {
		t.Fatalf("SubmitBatch = %+v, %v", items, err)
	}
	for i, want := range []resnet18cloud.Status{resnet18cloud.StatusCompleted, resnet18cloud.StatusFailed, resnet18cloud.StatusCompleted} {
		o, err := c.Wait(t.Context(), items[i].RequestID)
		if err != nil || items[i].Err != nil || o.Status != want || o.Filename != images[i].Name || o.Priority != resnet18cloud.PriorityBulk {
			t.Errorf("image %d: %+v, %v, want %s", i, o, err, want)
		}
		if _, err := o.Answer(); (err == nil) != (want == resnet18cloud.StatusCompleted) {
			t.Errorf("answer %d: %v", i, err)
		}
	}
	// Image i has the key "trip/i".
	if ticket, err := c.Submit(t.Context(), images[2], client.Options{IdempotencyKey: "trip/2"}); err != nil || ticket.RequestID != items[2].RequestID {
		t.Errorf("key of an image: %+v, %v, want request %s", ticket, err, items[2].RequestID)
	}
	list, total, err := c.Results(t.Context(), 2)
	if err != nil || total != 3 || len(list) != 2 || list[0].Filename == "" {
		t.Errorf("Results = %+v, %d, %v", list, total, err)
	}
	if _, err := c.SubmitBatch(t.Context(), nil, client.Options{}); codeOf(err) != resnet18cloud.CodeInvalid {
		t.Errorf("no images: %v", err)
	}
	images[1].Want.TopK = 3
	if _, err := c.SubmitBatch(t.Context(), images, client.Options{}); codeOf(err) != resnet18cloud.CodeInvalid {
		t.Errorf("different wants: %v", err)
	}
}

// TestBatchWithoutRoom checks that the images of a batch that were refused are sent again alone, with the key that they
// have in the batch.
func TestBatchWithoutRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Int32
		c := inMemory(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/predict_batch" {
				refused := map[string]any{"filename": "b.jpg", "error": "Queue is full", "code": "full", "retry_after": 2.5}
				_ = json.NewEncoder(w).Encode(map[string]any{"items": []any{map[string]any{"request_id": "a"}, refused, map[string]any{"error": "Not an image", "code": "unsupported"}}})
				return
			}
			late.Add(1)
			if r.URL.Path != "/predict_async" || r.Header.Get("Idempotency-Key") != "trip/1" || r.Header.Get("X-Priority") != "bulk" {
				t.Errorf("request %s %v", r.URL, r.Header)
			}
			fmt.Fprint(w, `{"request_id":"b"}`)
		})
		images := []resnet18cloud.Image{picture("a.jpg"), picture("b.jpg"), picture("c.txt"), picture("d.jpg")}
		for attempts, want := range map[int]string{0: "", 2: "b"} {
			c.Retry = client.Retry{Attempts: attempts}
			start := time.Now()
			items, err := c.SubmitBatch(t.Context(), images, client.Options{IdempotencyKey: "trip"})
			if err != nil || items[0].RequestID != "a" || items[1].RequestID != want || client.IsFull(items[1].Err) != (want == "") {
				t.Fatalf("%d attempts: %+v, %v", attempts, items, err)
			}
			if codeOf(items[2].Err) != resnet18cloud.CodeUnsupported || codeOf(items[3].Err) != resnet18cloud.CodeInvalid {
				t.Errorf("%d attempts: %+v", attempts, items)
			}
			if took := time.Since(start); want == "b" && took < 2500*time.Millisecond {
				t.Errorf("sent again after %v, before the server allows it", took)
			}
		}
		if late.Load() != 1 {
			t.Errorf("%d images were sent again, want 1", late.Load())
		}
	})
}

// TestServer checks what a client reads of a server.
func TestServer(t *testing.T) {
	t.Parallel()
	c := start(t)
	if _, err := c.Predict(t.Context(), picture("a.jpg"), client.Options{}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context())
	if err != nil || s.Completed != 1 || s.Queue.Capacity != 200 || s.Cache.Misses != 1 || s.Instance == "" || s.Slots != 1 {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	waiting := inMemory(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.String() {
		case "http://dispatcher/status":
			fmt.Fprint(w, `{"estimated_wait":1.5}`)
		case "http://dispatcher/labels?model=trash%402":
			fmt.Fprint(w, `{"classes":6}`)
		case "http://dispatcher/models":
			fmt.Fprint(w, `{"default":"trash","models":[{"name":"trash","version":"2"}]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	if s, err := waiting.Status(t.Context()); err != nil || s.EstimatedWait != 1500*time.Millisecond {
		t.Errorf("Status = %+v, %v, want a wait of 1.5 s", s, err)
	}
	if l, err := waiting.LabelsOf(t.Context(), "trash@2"); err != nil || l.Classes != 6 {
		t.Errorf("LabelsOf = %+v, %v", l, err)
	}
	if m, err := waiting.Models(t.Context()); err != nil || m.Default != "trash" || len(m.Models) != 1 {
		t.Errorf("Models = %+v, %v", m, err)
	}
	if err := waiting.Ready(t.Context()); codeOf(err) != resnet18cloud.CodeNotFound {
		t.Errorf("Ready: %v", err)
	}
}
