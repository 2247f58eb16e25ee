package dispatch_test

import (
	"net/http"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
)

// TestEndedRequestsLeaveTheQueue: while no replica takes jobs, requests that are cancelled or out of time do not keep
// others out of the queue.
func TestEndedRequestsLeaveTheQueue(t *testing.T) {
	t.Parallel()
	const capacity = 3
	for name, end := range map[string]struct {
		headers []string
		do      func(c *client, id string)
	}{
		"cancelled": {nil, func(c *client, id string) {
			if a := c.do(http.NewRequest(http.MethodDelete, c.url+"/result/"+id, nil)); a.status != http.StatusOK {
				t.Errorf("DELETE = %d %s", a.status, a.body)
			}
		}},
		"asked for after their deadline": {[]string{"X-Request-Timeout", "1ms"}, func(c *client, id string) {
			if a := c.wait(id); a["code"] != "deadline" {
				t.Errorf("GET after the deadline = %v", a)
			}
		}},
		"left alone after their deadline": {[]string{"X-Request-Timeout", "1ms"}, func(*client, string) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, dispatch.Config{Endpoints: []string{"http://127.0.0.1:1"}, QueueCapacity: capacity})
			size := func() int { return int(c.get("/status").json(t)["queue_size"].(float64)) }
			for range 2 {
				var ids []string
				for _, content := range []string{"x", "y", "z"} {
					ids = append(ids, c.submit(content+".jpg", content, end.headers...))
				}
				for _, id := range ids {
					end.do(c, id)
				}
				c.eventually("the queue is empty", func() bool { return size() == 0 })
			}
		})
	}
}
