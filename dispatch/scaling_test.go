package dispatch_test

import (
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
)

// TestScalingTotals checks that the totals for autoscalers count images that needed a replica: not those from the
// cache, but including rejected ones; and the time in which workers were busy, as reported by replicas.
func TestScalingTotals(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{QueueCapacity: 2}, 1, g)
	var ids []string
	refused := 0
	for i := range 10 {
		switch a := c.post("/predict_async", "a.jpg", fmt.Sprint("image ", i)); a.status {
		case http.StatusAccepted:
			ids = append(ids, a.json(t)["request_id"].(string))
		case http.StatusServiceUnavailable:
			refused++
		}
	}
	close(g.open)
	for _, id := range ids {
		c.wait(id)
	}
	broken := c.wait(c.submit("b.jpg", "broken"))
	if a := c.post("/predict_async", "a.jpg", "image 0"); a.status != http.StatusOK {
		t.Errorf("known bytes: %d, want 200 from the cache", a.status)
	}
	status := c.get("/status").json(t)
	scaling := status["scaling"].(map[string]any)
	for name, want := range map[string]int{
		"offered": 10 + 1, "refused": refused, "completed": len(ids), "failed": 1,
	} {
		if scaling[name] != float64(want) {
			t.Errorf("scaling.%s = %v, want %d", name, scaling[name], want)
		}
	}
	if refused == 0 || broken["status"] != "failed" {
		t.Errorf("%d refused, broken image %v: the test is to have both", refused, broken["status"])
	}
	// Decode, preprocess and inference take 7 ms together.
	if busy := scaling["service_seconds"].(float64); math.Abs(busy-0.007*float64(len(ids))) > 1e-6 {
		t.Errorf("service_seconds %v, want 7 ms for each of %d", busy, len(ids))
	}
	if waited := scaling["queueing_seconds"].(float64); waited <= 0 {
		t.Errorf("queueing_seconds %v, want some", waited)
	}
	endpoint := status["endpoints"].([]any)[0].(map[string]any)
	if endpoint["workers"] != 1.0 || endpoint["slots"] != 2.0 {
		t.Errorf("endpoint %v, want 1 worker and 2 slots", endpoint)
	}
}
