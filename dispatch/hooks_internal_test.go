package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/webhook"
)

// TestAttempted checks the state of a webhook after an attempt, and that the earlier record is not changed.
func TestAttempted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attempts int // before
		outcome  webhook.Outcome
		want     store.Webhook
		due      time.Time
		again    bool
	}{
		"delivered":    {0, webhook.Outcome{Delivered: true}, store.Webhook{State: store.WebhookDelivered, Attempts: 1}, time.Time{}, false},
		"failed":       {0, webhook.Outcome{Problem: "HTTP 500"}, store.Webhook{Attempts: 1, Problem: "HTTP 500", Next: noon.Add(65 * time.Second)}, noon.Add(5 * time.Second), true},
		"failed twice": {1, webhook.Outcome{Problem: "HTTP 500"}, store.Webhook{Attempts: 2, Problem: "HTTP 500", Next: noon.Add(90 * time.Second)}, noon.Add(30 * time.Second), true},
		"given up":     {webhook.Attempts - 1, webhook.Outcome{Problem: "HTTP 500"}, store.Webhook{State: store.WebhookFailed, Attempts: webhook.Attempts, Problem: "HTTP 500"}, time.Time{}, false},
		"at the last":  {webhook.Attempts - 1, webhook.Outcome{Delivered: true}, store.Webhook{State: store.WebhookDelivered, Attempts: webhook.Attempts}, time.Time{}, false},
		"not wanted":   {0, webhook.Outcome{Gone: true, Problem: "HTTP 410"}, store.Webhook{State: store.WebhookFailed, Attempts: 1, Problem: "HTTP 410"}, time.Time{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := store.Webhook{URL: "https://hooks.example.com", Attempts: test.attempts, Problem: "earlier", Next: noon}
			hook := before
			got, due, again := attempted(store.Record{Webhook: &hook}, test.outcome, noon)
			test.want.URL = before.URL
			if diff := cmp.Diff(test.want, *got.Webhook); diff != "" || !due.Equal(test.due) || again != test.again {
				t.Errorf("due %v, again %t, webhook (-want +got):\n%s", due, again, diff)
			}
			if hook != before {
				t.Errorf("the earlier record was changed: %+v", hook)
			}
		})
	}
}

// TestHooksInTurn checks which webhook is sent next: the one that is due first, unless its host has its share.
func TestHooksInTurn(t *testing.T) {
	t.Parallel()
	allow, err := webhook.ParseAllow([]string{"hooks.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := newHooks(&Dispatcher{}, allow)
	if _, ok, after := s.next(noon); ok || after != hookSweep {
		t.Errorf("of an empty list: %t, %v", ok, after)
	}
	for i := range maxSendingTo + 1 {
		s.add(hook{id: fmt.Sprint("slow ", maxSendingTo-i), host: "slow", due: noon.Add(-time.Duration(i) * time.Second)})
	}
	s.add(hook{id: "late", host: "other", due: noon.Add(time.Minute)})
	s.add(hook{id: "late", host: "other", due: noon}) // known already
	var sent []hook
	for i := range maxSendingTo {
		h, ok, _ := s.next(noon)
		if want := fmt.Sprint("slow ", i); !ok || h.id != want {
			t.Fatalf("next is %q, %t, want %q", h.id, ok, want)
		}
		sent = append(sent, h)
	}
	if h, ok, after := s.next(noon); ok || after != time.Minute {
		t.Errorf("while a host has its share: %+v, %t, %v; want to wait a minute", h, ok, after)
	}
	if h, ok, _ := s.next(noon.Add(time.Minute)); !ok || h.id != "late" {
		t.Errorf("after a minute: %+v, %t", h, ok)
	}
	sent[0].due = noon.Add(time.Second)
	s.sent(sent[0], true)
	if h, ok, _ := s.next(noon); !ok || h.id != fmt.Sprint("slow ", maxSendingTo) {
		t.Errorf("after an attempt of the slow host: %+v, %t", h, ok)
	}
	s.sent(sent[1], false)
	if h, ok, after := s.next(noon); ok || after != time.Second || !s.has(hookKey{id: sent[0].id}) || s.has(hookKey{id: sent[1].id}) {
		t.Errorf("after two attempts: %+v, %t, %v", h, ok, after)
	}
	for i := range 2 * maxHooks {
		s.add(hook{id: fmt.Sprint(i), host: fmt.Sprint(i % 100), due: noon})
	}
	if len(s.known) != maxHooks {
		t.Errorf("%d webhooks in memory, want %d", len(s.known), maxHooks)
	}
	n := 0
	for ; ; n++ {
		if _, ok, _ := s.next(noon); !ok {
			break
		}
	}
	if total := n + maxSendingTo; total > maxSending+1 || total < maxSending-1 {
		t.Errorf("%d are sent at a time, want %d", total, maxSending)
	}
}
