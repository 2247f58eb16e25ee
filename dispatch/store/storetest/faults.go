package storetest

import (
	"context"
	"errors"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// Fault is the fault of a call to a faulty store.
type Fault int

// The faults.
const (
	None           Fault = iota
	Refused              // the call does nothing and returns ErrInjected
	Unacknowledged       // the call does its work and returns ErrInjected
	Repeated             // the call does its work, receives no acknowledgment, and retries: it returns ErrExists or ErrConflict
)

// ErrInjected is the error of a fault.
var ErrInjected = errors.New("injected fault")

// Faulty is a store with injected faults. The embedded store does the work.
type Faulty struct {
	store.Store
	// Decide returns the fault for a call of Create, Get, Update, Wait or Unfinished. Nil means None.
	Decide func(method string) Fault
	// Written, if not nil, is called with each record that was written, including writes reported as failed.
	Written func(store.Record)
}

var _ store.Store = (*Faulty)(nil)

// fault applies the fault to the call do.
func (s *Faulty) fault(method string, do func() error) error {
	fault := None
	if s.Decide != nil {
		fault = s.Decide(method)
	}
	if fault == Refused {
		return ErrInjected
	}
	if err := do(); err != nil {
		return err
	}
	switch fault {
	case Unacknowledged:
		return ErrInjected
	case Repeated:
		return do()
	}
	return nil
}

// Create implements store.Store.
func (s *Faulty) Create(ctx context.Context, r store.Record) (revision uint64, err error) {
	err = s.fault("Create", func() error { revision, err = s.Store.Create(ctx, r); return s.written(r, err) })
	return revision, err
}

// Update implements store.Store.
func (s *Faulty) Update(ctx context.Context, r store.Record) (revision uint64, err error) {
	err = s.fault("Update", func() error { revision, err = s.Store.Update(ctx, r); return s.written(r, err) })
	return revision, err
}

func (s *Faulty) written(r store.Record, err error) error {
	if err == nil && s.Written != nil {
		s.Written(r)
	}
	return err
}

// Get implements store.Store.
func (s *Faulty) Get(ctx context.Context, id string) (r store.Record, err error) {
	err = s.fault("Get", func() error { r, err = s.Store.Get(ctx, id); return err })
	return r, err
}

// Wait implements store.Store.
func (s *Faulty) Wait(ctx context.Context, id string) (r store.Record, err error) {
	err = s.fault("Wait", func() error { r, err = s.Store.Wait(ctx, id); return err })
	return r, err
}

// Unfinished implements store.Store.
func (s *Faulty) Unfinished(ctx context.Context) (records []store.Record, err error) {
	err = s.fault("Unfinished", func() error { records, err = s.Store.Unfinished(ctx); return err })
	return records, err
}
