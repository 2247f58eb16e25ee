package ledger_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/resnet18cloud/resnet18cloud/dispatch/ledger"
)

var start = time.Unix(1_800_000_000, 0)

func open(t *testing.T, dir string, size int) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func add(t *testing.T, l *ledger.Ledger, n int) []ledger.Entry {
	t.Helper()
	var added []ledger.Entry
	for i := range n {
		e := ledger.Entry{ID: uuid.NewString(), At: start.Add(time.Duration(i) * time.Second)}
		if err := l.Add(e); err != nil {
			t.Fatal(err)
		}
		added = append(added, e)
	}
	return added
}

func entries(t *testing.T, l *ledger.Ledger, since time.Time) []ledger.Entry {
	t.Helper()
	list, err := l.Entries(since)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEntriesSurviveTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := add(t, open(t, dir, 100), 5)
	l := open(t, dir, 100)
	want = append(want, add(t, l, 2)...)
	if diff := cmp.Diff(want, entries(t, l, time.Time{})); diff != "" {
		t.Errorf("entries (-added +read):\n%s", diff)
	}
	if got := entries(t, l, start.Add(3*time.Second)); len(got) != 1 || got[0] != want[4] {
		t.Errorf("entries since 3 s: %v, want the fifth of the first process", got)
	}
	if err := l.Add(ledger.Entry{ID: "no UUID"}); err == nil {
		t.Error("an id that is no UUID was added")
	}
}

// TestBounded checks that the files do not grow forever, and that they have the last entries.
func TestBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir, 10)
	want := add(t, l, 35)
	got := entries(t, l, time.Time{})
	if len(got) < 10 || len(got) > 20 {
		t.Fatalf("%d entries, want 10 to 20", len(got))
	}
	if diff := cmp.Diff(want[35-len(got):], got); diff != "" {
		t.Errorf("entries (-added +read):\n%s", diff)
	}
	reopened := open(t, dir, 10)
	if diff := cmp.Diff(got, entries(t, reopened, time.Time{})); diff != "" {
		t.Errorf("entries after opening again:\n%s", diff)
	}
	last := add(t, reopened, 1)
	if all := entries(t, reopened, time.Time{}); all[len(all)-1] != last[0] {
		t.Errorf("last entry %v, want %v", all[len(all)-1], last[0])
	}
}

// TestDamage checks that a few wrong bytes hide no entry, and that a torn entry at the end damages no other.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := add(t, open(t, dir, 100), 20)
	path := filepath.Join(dir, "accepted-0")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		data[rng.IntN(len(data))] ^= byte(1 + rng.IntN(255))
	}
	if err := os.WriteFile(path, append(data, 1, 2, 3), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, 100)
	want = append(want, add(t, l, 1)...)
	if diff := cmp.Diff(want, entries(t, l, time.Time{})); diff != "" {
		t.Errorf("entries (-added +read):\n%s", diff)
	}
}

// TestRestore checks that entries survive the deletion of their folder.
func TestRestore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, 100)
	want := add(t, l, 3)
	if err := l.Restore(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Restore(); err == nil {
		t.Error("Restore without a folder succeeded")
	}
	want = append(want, add(t, l, 1)...)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Restore(); err != nil {
		t.Fatal(err)
	}
	want = append(want, add(t, l, 1)...)
	if diff := cmp.Diff(want, entries(t, open(t, dir, 100), time.Time{})); diff != "" {
		t.Errorf("entries (-added +read):\n%s", diff)
	}
}

func FuzzEntries(f *testing.F) {
	f.Add([]byte("short"))
	f.Add(make([]byte, 72*3))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "accepted-0"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := ledger.Open(dir, 1000)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		e := ledger.Entry{ID: uuid.NewString(), At: start}
		if err := l.Add(e); err != nil {
			t.Fatal(err)
		}
		list, err := l.Entries(time.Time{})
		if err != nil || len(list) == 0 || list[len(list)-1] != e {
			t.Errorf("Entries = %v, %v, want the one added at the end", list, err)
		}
	})
}
