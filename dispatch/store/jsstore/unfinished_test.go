package jsstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/jsstore"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestUnfinishedOfEarlierProcess checks that a store lists the unfinished records of an earlier one, even if they
// change while it reads them.
func TestUnfinishedOfEarlierProcess(t *testing.T) {
	t.Parallel()
	for name, exclusive := range map[string]bool{"shared": false, "exclusive": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := natstest.Open(t)
			cfg := jsstore.Config{TTL: time.Hour, MaxBytes: 64 << 20, Replicas: 1, Policy: natsconn.StreamPolicy{Exclusive: exclusive}}
			const n = 2000
			records := leave(t, jsstore.New(conn, cfg), n)

			s := jsstore.New(conn, cfg)
			storetest.Start(t, s)
			want := map[string]store.Record{}
			for i, r := range records {
				if i%3 == 0 { // written while the store reads
					r.Status = []resnet18cloud.Status{resnet18cloud.StatusProcessing, resnet18cloud.StatusCompleted}[i%2]
					revision, err := s.Update(t.Context(), r)
					if err != nil {
						t.Fatal(err)
					}
					r.Revision = revision
				}
				if !r.Status.Final() {
					want[r.ID] = r
				}
			}
			storetest.WantUnfinished(t, s, want)
		})
	}
}

// leave creates n records, every fourth of them final, and stops the store.
func leave(t *testing.T, s store.Store, n int) []store.Record {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatalf("Run: %v", err)
	}
	var records []store.Record
	for i := range n {
		r := store.Record{ID: testutil.ID(fmt.Sprint(i)), Status: resnet18cloud.StatusQueued, QueuedAt: time.Now().Round(0).UTC()}
		if i%4 == 1 {
			r.Status = resnet18cloud.StatusFailed
		}
		revision, err := s.Create(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		r.Revision = revision
		records = append(records, r)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return records
}

// TestUnfinishedAfterUnconfirmedWrite checks that a record whose write may or may not have succeeded is read from the
// server.
func TestUnfinishedAfterUnconfirmedWrite(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	s := jsstore.New(conn, jsstore.Config{TTL: time.Hour, MaxBytes: 1 << 20, Replicas: 1, Policy: natsconn.StreamPolicy{Exclusive: true}})
	storetest.Start(t, s)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	r := store.Record{ID: testutil.ID("a"), Status: resnet18cloud.StatusQueued, QueuedAt: time.Now().Round(0).UTC()}
	revision, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Revision = revision
	if _, err := s.Update(over, r); err == nil {
		t.Fatal("Update succeeded though its context had ended")
	}
	if _, err := s.Create(over, store.Record{ID: testutil.ID("b")}); err == nil {
		t.Fatal("Create succeeded though its context had ended")
	}
	storetest.WantUnfinished(t, s, map[string]store.Record{r.ID: r})
}
