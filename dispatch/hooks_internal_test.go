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
		s.add(hook{id: fmt.Sprint("slow ", maxSendingTo-i), hookLane: hookLane{host: "slow"}, due: noon.Add(-time.Duration(i) * time.Second)})
	}
	s.add(hook{id: "late", hookLane: hookLane{host: "other"}, due: noon.Add(time.Minute)})
	s.add(hook{id: "late", hookLane: hookLane{host: "other"}, due: noon}) // known already
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
		s.add(hook{id: fmt.Sprint(i), hookLane: hookLane{host: fmt.Sprint(i % 100)}, due: noon})
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

// TestHooksAreFair checks that a client with a flood of webhooks, or with slow receivers, holds up neither the webhooks of
// another client nor keeps them out of a full list, also if both have the same receivers.
func TestHooksAreFair(t *testing.T) {
	t.Parallel()
	allow, err := webhook.ParseAllow([]string{"*.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := newHooks(&Dispatcher{}, allow)
	record := func(owner, id, url string) store.Record {
		return store.Record{ID: id, Owner: owner, Webhook: &store.Webhook{URL: url}}
	}
	for i := range maxHooks + 100 {
		s.add(hookOf(record("flood", fmt.Sprint("flood ", i), fmt.Sprintf("https://%d.example.com/", i%20)), noon))
	}
	if s.hasRoom("flood") || !s.hasRoom("shop") {
		t.Error("of a full list: room for the client that has filled it, or none for another one")
	}
	var flood []hook
	for range maxSending {
		h, ok, _ := s.next(noon)
		if !ok {
			t.Fatalf("%d are sent at a time, want %d", len(flood), maxSending)
		}
		flood = append(flood, h)
	}
	for i := range 3 {
		s.add(hookOf(record("shop", fmt.Sprint("shop ", i), "https://"+flood[i].host), noon.Add(time.Second)))
	}
	if len(s.known) != maxHooks || s.knownOf["shop"] != 3 || s.knownOf["flood"] != maxHooks-3 {
		t.Errorf("%d webhooks in memory, want %d; by client %v", len(s.known), maxHooks, s.knownOf)
	}
	for i := range 3 {
		s.sent(flood[i], true)
		if h, ok, _ := s.next(noon.Add(time.Second)); !ok || h.owner != "shop" {
			t.Errorf("the next one is %q of %q, %t, want one of shop", h.id, h.owner, ok)
		}
	}
	for i := range maxHooks { // the list is fair to the flood too
		s.add(hookOf(record("shop", fmt.Sprint("more ", i), "https://a.example.com/"), noon))
	}
	if n := s.knownOf["shop"]; len(s.known) != maxHooks || n < maxHooks/2-maxSending || n > maxHooks/2 {
		t.Errorf("%d webhooks in memory, %d of shop, want half of them", len(s.known), n)
	}
	waiting := 0
	for l, list := range s.waiting {
		waiting += list.Len()
		for i := 1; i < list.Len(); i++ {
			if list.Less(i, (i-1)/2) {
				t.Fatalf("%v is not a heap", l)
			}
		}
	}
	if waiting+maxSending != len(s.known) {
		t.Errorf("%d wait and %d are being sent, of %d", waiting, maxSending, len(s.known))
	}
}
