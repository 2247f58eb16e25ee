package dispatch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/sse"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// inMemory is a configuration without files: the classifier works in the dispatcher, one image at a time.
func inMemory(g *gate) dispatch.Config {
	return dispatch.Config{Queue: memqueue.New(200, time.Minute), Store: memstore.New(time.Hour, 1000), Classifier: g, CacheSize: -1}
}

// follow opens a stream of requests. The function returns the next event as "name status id", and its ID.
func (c *client) follow(path, last string) (response *http.Response, next func() (event, id string)) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	response, err = c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = response.Body.Close() })
	events := sse.NewReader(response.Body, 1<<20)
	return response, func() (string, string) {
		e, err := events.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				c.t.Errorf("read events: %v", err)
			}
			return "closed", ""
		}
		var body struct {
			Status, Code, Replica string
			ID                    string `json:"request_id"`
			Total                 int
		}
		if err := json.Unmarshal(e.Data, &body); err != nil {
			c.t.Fatalf("%v in %s", err, e.Data)
		}
		if e.Name == "end" {
			return fmt.Sprint("end ", body.Total), e.ID
		}
		return fmt.Sprintf("%s %s %s", e.Name, body.Status+body.Code, body.ID), e.ID
	}
}

// TestEventsOfRequest follows one request from the queue to its result.
func TestEventsOfRequest(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := start(t, inMemory(g))
	first, id := c.submit("a.jpg", "a"), c.submit("b.jpg", "b")
	<-g.arrived
	response, next := c.follow("/result/"+id+"/events", "")
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("status %d, Content-Type %q", response.StatusCode, got)
	}
	if event, _ := next(); event != "progress queued "+id {
		t.Errorf("first event %q, want that it is queued", event)
	}
	if a := c.delete("/result/" + first); a.status != http.StatusOK {
		t.Fatalf("DELETE = %d %s", a.status, a.body)
	}
	if event, _ := next(); event != "progress processing "+id {
		t.Errorf("second event %q, want that it is being processed", event)
	}
	close(g.open)
	event, last := next()
	if event != "result completed "+id {
		t.Errorf("third event %q, want the result", event)
	}
	if event, _ := next(); event != "end 1" {
		t.Errorf("fourth event %q, want the end", event)
	}
	if event, _ := next(); event != "closed" {
		t.Errorf("after the end: %q", event)
	}
	// A browser comes back by itself, and stops at 204.
	if response, _ := c.follow("/result/"+id+"/events", last); response.StatusCode != http.StatusNoContent {
		t.Errorf("after the last event: %d, want 204", response.StatusCode)
	}
	if response, next := c.follow("/result/"+first+"/events", "not an id of ours"); response.StatusCode != http.StatusOK {
		t.Errorf("with another Last-Event-ID: %d", response.StatusCode)
	} else if event, _ := next(); event != "result cancelled "+first {
		t.Errorf("of an ended request: %q", event)
	}
}

// TestEventsOfBatch follows the requests of a batch, over two connections.
func TestEventsOfBatch(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := start(t, inMemory(g))
	contentType, body := form("a.jpg", "a", "b.jpg", "broken b", "c.jpg", "c")
	a := c.do(postForm(c.url+"/predict_batch", contentType, body))
	var batch struct {
		EventsURL string `json:"events_url"`
		Items     []struct {
			ID string `json:"request_id"`
		}
	}
	if err := json.Unmarshal([]byte(a.body), &batch); err != nil || len(batch.Items) != 3 {
		t.Fatalf("POST /predict_batch = %d %s", a.status, a.body)
	}
	unknown := testutil.ID("none")
	path := batch.EventsURL + "," + unknown + "," + strings.ToUpper(batch.Items[0].ID)
	_, next := c.follow(path, "")
	var last string
	var events []string
	for range 4 { // three that wait, and one that does not exist
		event, id := next()
		events, last = append(events, event), id
	}
	if events[3] != "missing not_found "+unknown || !strings.HasPrefix(events[0], "progress ") {
		t.Errorf("first events %q", events)
	}
	if a := c.delete("/result/" + batch.Items[2].ID); a.status != http.StatusOK {
		t.Fatalf("DELETE = %d %s", a.status, a.body)
	}
	for event := ""; event != "result cancelled "+batch.Items[2].ID; { // the first image may begin in between
		if event, last = next(); event == "closed" {
			t.Fatal("the stream ended before the request that was cancelled")
		}
	}
	close(g.open)
	_, next = c.follow(path, last)
	var results []string
	for event := ""; event != "end 4" && event != "closed"; {
		if event, _ = next(); !strings.HasPrefix(event, "progress ") {
			results = append(results, event)
		}
	}
	want := []string{"result completed " + batch.Items[0].ID, "result failedundecodable " + batch.Items[1].ID, "end 4"}
	slices.Sort(results)
	slices.Sort(want)
	if !slices.Equal(results, want) {
		t.Errorf("after the second connection: %q, want %q", results, want)
	}
}

func postForm(url, contentType string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodPost, url, body)
	if err == nil {
		r.Header.Set("Content-Type", contentType)
	}
	return r, err
}

// TestEventsBelongToTheirClient checks that a client follows only its own requests, and does not learn of others'.
func TestEventsBelongToTheirClient(t *testing.T) {
	t.Parallel()
	g := opened()
	cfg := inMemory(g)
	cfg.Access = accesstest.Guard(t)
	c := start(t, cfg)
	shop, blog := c.as("shop"), c.as("blog")
	own, other := blog.submit("b.jpg", "b"), shop.submit("s.jpg", "s")
	blog.wait(own)
	shop.wait(other)
	if a, unknown := blog.get("/result/"+other+"/events"), blog.get("/result/"+testutil.ID("none")+"/events"); a.status != http.StatusNotFound || a.body != unknown.body {
		t.Errorf("another client's request: %d %s, want as of one that does not exist: %s", a.status, a.body, unknown.body)
	}
	_, next := blog.follow("/results/events?ids="+other+","+own, "")
	for _, want := range []string{"missing not_found " + other, "result completed " + own, "end 2"} {
		if event, _ := next(); event != want {
			t.Errorf("event %q, want %q", event, want)
		}
	}
	if _, next := c.as("ops").follow("/result/"+other+"/events", ""); true {
		if event, _ := next(); event != "result completed "+other {
			t.Errorf("with scope admin: %q", event)
		}
	}
}

func TestEventsOfWhat(t *testing.T) {
	t.Parallel()
	cfg := inMemory(opened())
	cfg.MaxBatch = 3
	c := start(t, cfg)
	id := testutil.ID("none")
	for path, want := range map[string]int{
		"/result/x/events":                                      http.StatusNotFound,
		"/result/" + id + "/events":                             http.StatusNotFound,
		"/results/events":                                       http.StatusBadRequest,
		"/results/events?ids=":                                  http.StatusBadRequest,
		"/results/events?ids=x":                                 http.StatusBadRequest,
		"/results/events?ids=" + id + ",":                       http.StatusBadRequest,
		"/results/events?ids=" + strings.Repeat(id+",", 3) + id: http.StatusBadRequest,
	} {
		if a := c.get(path); a.status != want {
			t.Errorf("GET %s = %d %s, want %d", path, a.status, a.body, want)
		}
	}
}

// TestEventsEndWithTheDispatcher checks that streams do not hold up a dispatcher that stops.
func TestEventsEndWithTheDispatcher(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := start(t, inMemory(g))
	id := c.submit("a.jpg", "a")
	_, next := c.follow("/result/"+id+"/events", "")
	next()
	stopped := make(chan error, 1)
	go func() { stopped <- c.stop() }()
	for event := ""; event != "closed"; {
		event, _ = next()
	}
	close(g.open)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
