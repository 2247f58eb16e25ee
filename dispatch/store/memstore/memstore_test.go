package memstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ *testing.T, ttl time.Duration) store.Store { return memstore.New(ttl, 100) })
}

// TestLimit checks that the oldest records are dropped first.
func TestLimit(t *testing.T) {
	t.Parallel()
	s := memstore.New(time.Hour, 3)
	storetest.Start(t, s)
	for i := range 5 {
		if _, err := s.Create(t.Context(), store.Record{ID: testutil.ID(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := s.Count(t.Context()); n != 3 {
		t.Errorf("Count = %d, want 3", n)
	}
	if _, err := s.Get(t.Context(), testutil.ID("1")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of an old record: %v, want ErrNotFound", err)
	}
	if _, err := s.Get(t.Context(), testutil.ID("2")); err != nil {
		t.Errorf("Get of a recent record: %v", err)
	}
}

// TestFaulty checks that a faulty store without faults fulfills the contract.
func TestFaulty(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ *testing.T, ttl time.Duration) store.Store {
		return &storetest.Faulty{Store: memstore.New(ttl, 100)}
	})
}
