package jsstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/jsstore"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestMain(m *testing.M) {
	natstest.Parallel()
	goleak.VerifyTestMain(m, natstest.Clock())
}

func TestStore(t *testing.T) {
	t.Parallel()
	for name, exclusive := range map[string]bool{"shared": false, "exclusive": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T, ttl time.Duration) store.Store {
				return jsstore.New(natstest.Open(t),
					jsstore.Config{TTL: ttl, MaxBytes: 1 << 20, Replicas: 1, Policy: natsconn.StreamPolicy{Exclusive: exclusive}})
			})
		})
	}
}

// TestMaxBytes checks that a full store drops its oldest records and accepts new ones.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	s := jsstore.New(natstest.Open(t), jsstore.Config{TTL: time.Hour, MaxBytes: 64 << 10, Replicas: 1})
	storetest.Start(t, s)
	for i := range 100 {
		r := store.Record{ID: testutil.ID(fmt.Sprint("r", i)), Filename: strings.Repeat("x", 2<<10)}
		if _, err := s.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Count(t.Context()); err != nil || n < 20 || n > 32 {
		t.Errorf("Count = %d, %v, want what 64 KiB hold of 2 KiB each", n, err)
	}
	if _, err := s.Get(t.Context(), testutil.ID("r0")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of the oldest: %v, want ErrNotFound", err)
	}
	if _, err := s.Get(t.Context(), testutil.ID("r99")); err != nil {
		t.Errorf("Get of the newest: %v", err)
	}
}

// TestExclusive checks that an exclusive store's memory never has more than the server: writing a dropped record
// fails, and records of earlier processes are read from the server.
func TestExclusive(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	cfg := jsstore.Config{TTL: time.Hour, MaxBytes: 64 << 10, Replicas: 1, Policy: natsconn.StreamPolicy{Exclusive: true}}
	t.Run("pushed out", func(t *testing.T) {
		s := jsstore.New(conn, cfg)
		storetest.Start(t, s)
		first := store.Record{ID: testutil.ID("first"), Status: resnet18cloud.StatusQueued}
		revision, err := s.Create(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		first.Revision = revision
		for i := range 100 {
			r := store.Record{ID: testutil.ID(fmt.Sprint("r", i)), Filename: strings.Repeat("x", 2<<10)}
			if _, err := s.Create(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Update(t.Context(), first); !errors.Is(err, store.ErrConflict) {
			t.Errorf("Update of a record that was pushed out: %v, want ErrConflict", err)
		}
		if _, err := s.Get(t.Context(), testutil.ID("first")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get after that: %v, want ErrNotFound", err)
		}
	})
	t.Run("earlier life", func(t *testing.T) {
		s := jsstore.New(conn, cfg)
		storetest.Start(t, s)
		r, err := s.Get(t.Context(), testutil.ID("r99"))
		if err != nil {
			t.Fatal(err)
		}
		r.Status = resnet18cloud.StatusCompleted
		if _, err := s.Update(t.Context(), r); err != nil {
			t.Errorf("Update of a record of an earlier life: %v", err)
		}
	})
}
