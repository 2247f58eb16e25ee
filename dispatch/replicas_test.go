package dispatch_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
)

// counted are replicas that exist as a number.
type counted struct {
	mu     sync.Mutex
	wanted int // guarded by mu
}

func (c *counted) Replicas() (wanted, ready int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted, 1
}

func (c *counted) SetReplicas(_ context.Context, n int) error {
	if n > 4 {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "Too many"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = n
	return nil
}

// TestReplicas changes the number of replicas, of dispatchers that start them and of others.
func TestReplicas(t *testing.T) {
	t.Parallel()
	own := startServing(t, dispatch.Config{Replicas: &counted{wanted: 1}}, 1, opened())
	other := startServing(t, dispatch.Config{}, 1, opened())
	for _, test := range []struct {
		c            *client
		method, body string
		status       int
		want         string
	}{
		{own, "GET", "", 200, `{"wanted":1,"ready":1}`},
		{own, "PUT", `{"replicas":3}`, 200, `{"wanted":3,"ready":1}`},
		{own, "GET", "", 200, `{"wanted":3,"ready":1}`},
		{own, "PUT", `{"replicas":5}`, 400, "Too many"},
		{own, "PUT", "", 400, `send {\"replicas\":2}`},
		{own, "PUT", `{"replica":2}`, 400, `send {\"replicas\":2}`},
		{own, "PUT", `{"replicas":"2"}`, 400, `send {\"replicas\":2}`},
		{own, "POST", `{"replicas":2}`, 405, "GET, HEAD, PUT"},
		{other, "GET", "", 409, "kubectl scale"},
		{other, "PUT", `{"replicas":3}`, 409, "kubectl scale"},
	} {
		if a := test.c.do(http.NewRequest(test.method, test.c.url+"/replicas", strings.NewReader(test.body))); a.status != test.status || !strings.Contains(a.body, test.want) {
			t.Errorf("%s /replicas %s: %d %s; want %d with %s", test.method, test.body, a.status, a.body, test.status, test.want)
		}
	}
}
