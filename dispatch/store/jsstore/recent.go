package jsstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// Recent implements store.Store.
func (s *Store) Recent(ctx context.Context, n int) ([]store.Record, error) {
	h, err := s.use(ctx)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	info, err := h.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("count results: %w", err)
	}
	if info.State.Msgs == 0 || n <= 0 {
		return nil, nil
	}
	// Each change has a sequence number, and only the last change of each record is kept: n records may be spread
	// over many numbers. So the window grows until it contains enough records, and shrinks if it contains far too
	// many.
	first, last := info.State.FirstSeq, info.State.LastSeq
	window, tooFew, tooMany := uint64(2*n), uint64(0), uint64(0) // 0 means unknown
	for {
		from := max(first, last-min(last, window)+1)
		consumer, err := s.consumer(ctx, h, from)
		if err != nil {
			return nil, err
		}
		pending := int(consumer.CachedInfo().NumPending)
		switch {
		case pending < n && from > first:
			tooFew = window
			if window *= 8; tooMany > 0 {
				window = tooFew + (tooMany-tooFew+1)/2
			}
		case pending > 4*n && window-tooFew > 1:
			tooMany = window
			window = tooFew + (window-tooFew)/2
		default:
			records, err := readAll(consumer, pending)
			s.forget(ctx, h, consumer)
			return records[:min(n, len(records))], err
		}
		s.forget(ctx, h, consumer)
	}
}

// consumer creates a consumer that reads records from a sequence number on.
func (s *Store) consumer(ctx context.Context, h handles, from uint64) (jetstream.Consumer, error) {
	c, err := h.js.CreateConsumer(ctx, s.streamName(), jetstream.ConsumerConfig{
		FilterSubject:     s.subjects(),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckNonePolicy,
		Replicas:          1,
		MemoryStorage:     true,
		InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	return c, nil
}

// forget deletes a consumer. If that fails, the server deletes it because it is inactive.
func (s *Store) forget(ctx context.Context, h handles, c jetstream.Consumer) {
	_ = h.js.DeleteConsumer(ctx, s.streamName(), c.CachedInfo().Name)
}

// readAll returns the consumer's records, most recently changed first.
func readAll(consumer jetstream.Consumer, pending int) ([]store.Record, error) {
	if pending == 0 {
		return nil, nil
	}
	batch, err := consumer.FetchNoWait(pending)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	var records []store.Record
	for msg := range batch.Messages() {
		var r store.Record
		meta, err := msg.Metadata()
		if err == nil {
			err = json.Unmarshal(msg.Data(), &r)
		}
		if err != nil {
			return nil, fmt.Errorf("read results: %w", err)
		}
		r.Revision = meta.Sequence.Stream
		records = append(records, r)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
		return nil, fmt.Errorf("read results: %w", err)
	}
	slices.SortFunc(records, func(a, b store.Record) int { return cmp.Compare(b.Revision, a.Revision) })
	return records, nil
}

// Count implements store.Store.
func (s *Store) Count(ctx context.Context) (int, error) {
	h, err := s.use(ctx)
	if err != nil {
		return 0, fmt.Errorf("count results: %w", err)
	}
	// All other subjects are those of the store's own messages.
	info, err := h.stream.Info(ctx, jetstream.WithSubjectFilter(s.cfg.Prefix+".results.*"))
	if err != nil {
		return 0, fmt.Errorf("count results: %w", err)
	}
	records := info.State.Msgs
	for _, messages := range info.State.Subjects {
		records -= min(records, messages)
	}
	return int(records), nil
}

// IDs returns the IDs of all records, and the time since when no record was dropped to make room for others. The time
// is zero if none was dropped.
func (s *Store) IDs(ctx context.Context) (ids map[string]struct{}, complete time.Time, err error) {
	h, err := s.use(ctx)
	if err != nil {
		return nil, complete, fmt.Errorf("list results: %w", err)
	}
	info, err := h.stream.Info(ctx, jetstream.WithSubjectFilter(s.subjects()))
	if err != nil {
		return nil, complete, fmt.Errorf("list results: %w", err)
	}
	if limit := uint64(max(0, info.Config.MaxBytes)); info.State.Bytes > limit-limit/10 {
		complete = info.State.FirstTime
	}
	prefix := strings.TrimSuffix(s.subjects(), ">")
	ids = make(map[string]struct{}, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		ids[strings.TrimPrefix(subject, prefix)] = struct{}{}
	}
	return ids, complete, nil
}
