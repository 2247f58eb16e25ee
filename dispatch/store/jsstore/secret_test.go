package jsstore_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/jsstore"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
)

func open(t *testing.T, conn *natsconn.Conn, cfg jsstore.Config) *jsstore.Store {
	t.Helper()
	s := jsstore.New(conn, cfg)
	storetest.Start(t, s)
	return s
}

// TestSecretIsShared checks that of several stores that start at the same time on an empty server, one provides the
// secret for all, and that later ones get it too.
func TestSecretIsShared(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	cfg := jsstore.Config{TTL: time.Hour, MaxBytes: 1 << 20, Replicas: 1}
	stores := make([]*jsstore.Store, 8)
	var all sync.WaitGroup
	for i := range stores {
		all.Go(func() { stores[i] = open(t, conn, cfg) })
	}
	all.Wait()
	stores = append(stores, open(t, conn, cfg))
	for i, s := range stores {
		if s.Secret() != stores[0].Secret() || s.Secret() == (store.Secret{}) {
			t.Errorf("the secret of store %d is %x, want %x", i, s.Secret(), stores[0].Secret())
		}
	}
	other := cfg
	other.Prefix = "other"
	if open(t, conn, other).Secret() == stores[0].Secret() {
		t.Error("another installation has the same secret")
	}
}

// TestSecretOutlivesRecords checks that the secret is kept while a store is in use, although records expire.
func TestSecretOutlivesRecords(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	cfg := jsstore.Config{TTL: 400 * time.Millisecond, MaxBytes: 1 << 20, Replicas: 1}
	first := open(t, conn, cfg)
	sequence := func() uint64 {
		stream, err := conn.JetStream().Stream(t.Context(), "KV_RESNET18_RESULTS")
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetLastMsgForSubject(t.Context(), "resnet18.results.secret")
		if err != nil {
			return 0
		}
		return msg.Sequence
	}
	for start, deadline := sequence(), time.Now().Add(20*time.Second); sequence() < start+8; { // 8 writes of 100 ms
		if time.Now().After(deadline) {
			t.Fatal("the secret is not written again")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if open(t, conn, cfg).Secret() != first.Secret() {
		t.Error("the secret has expired")
	}
}

// TestSecretAfterDamage checks that a store writes its secret again if the stream has lost it, and takes over a new one
// if another process was faster.
func TestSecretAfterDamage(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	warned := make(logged, 100)
	cfg := jsstore.Config{TTL: 2 * time.Second, MaxBytes: 1 << 20, Replicas: 1, Log: slog.New(slog.NewTextHandler(warned, nil))}
	first := open(t, conn, cfg)
	cfg.Log = nil
	before := first.Secret()
	purge := func() {
		t.Helper()
		stream, err := conn.JetStream().Stream(t.Context(), "KV_RESNET18_RESULTS")
		if err == nil {
			err = stream.Purge(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stored := func() (s store.Secret, ok bool) {
		stream, err := conn.JetStream().Stream(t.Context(), "KV_RESNET18_RESULTS")
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetLastMsgForSubject(t.Context(), "resnet18.results.secret")
		return s, err == nil && copy(s[:], msg.Data) == len(s)
	}
	within := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 20 s: %s", what)
			}
		}
	}
	purge()
	within("the secret is written again", func() bool { _, ok := stored(); return ok })
	if open(t, conn, cfg).Secret() != before {
		t.Error("a later store has another secret")
	}
	for _, damaged := range [][]byte{nil, []byte("short")} {
		if _, err := conn.JetStream().Publish(t.Context(), "resnet18.results.secret", damaged); err != nil {
			t.Fatal(err)
		}
		within("a damaged secret is replaced", func() bool { s, ok := stored(); return ok && s == before })
	}
	if len(warned) != 0 {
		t.Errorf("a warning although the secret is the same: %s", <-warned)
	}
	foreign := store.Secret{1, 2, 3}
	if _, err := conn.JetStream().Publish(t.Context(), "resnet18.results.secret", foreign[:]); err != nil {
		t.Fatal(err)
	}
	within("all have the stream's secret", func() bool { return first.Secret() == foreign })
	if len(warned) != 1 || !strings.Contains(<-warned, "new secret") {
		t.Error("a new secret is not reported")
	}
}

// logged receives the lines of a log.
type logged chan string

func (l logged) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// TestSecretOfEarlierVersion checks that a stream without a subject for the secret gets one.
func TestSecretOfEarlierVersion(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	if _, err := conn.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "KV_RESNET18_RESULTS", MaxMsgsPerSubject: 1,
		Subjects: []string{"$KV.RESNET18_RESULTS.>", "resnet18.results.probe"}, MaxAge: time.Hour, MaxBytes: 1 << 20, Replicas: 1, AllowRollup: true, DenyDelete: true}); err != nil {
		t.Fatal(err)
	}
	cfg := jsstore.Config{TTL: time.Hour, MaxBytes: 1 << 20, Replicas: 1}
	if first, second := open(t, conn, cfg), open(t, conn, cfg); first.Secret() != second.Secret() {
		t.Error("two stores have different secrets")
	}
}
