package reread

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, test := range map[string]struct {
		size    int
		problem string
	}{"empty": {0, ""}, "largest": {maxBytes, ""}, "too large": {maxBytes + 1, "is larger than 4 MiB"}} {
		path := filepath.Join(dir, name)
		want := bytes.Repeat([]byte("x"), test.size)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := File(path)
		switch {
		case test.problem == "" && (err != nil || !bytes.Equal(got, want)):
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v, want %q and the path", name, err, test.problem)
		}
	}
	if _, err := File(filepath.Join(dir, "missing")); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check("", file, dir); err != nil {
		t.Error(err)
	}
	for _, path := range []string{filepath.Join(dir, "missing"), os.DevNull} {
		if err := Check(file, path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Check(%s) = %v, want an error with the path", path, err)
		}
	}
}

// TestEvery checks that look is called every two seconds, and that the end of the context ends it.
func TestEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*Interval+time.Second)
		defer cancel()
		start, looks := time.Now(), 0
		Every(ctx, func(now time.Time) {
			if looks++; now.Sub(start) != time.Duration(looks)*Interval {
				t.Errorf("look %d after %s", looks, now.Sub(start))
			}
		})
		if looks != 3 {
			t.Errorf("%d looks in %s", looks, time.Since(start))
		}
	})
}
