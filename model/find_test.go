package model

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFind changes the environment, so it does not run beside others.
func TestFind(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	given := filepath.Join(t.TempDir(), "w")
	if err := os.WriteFile(given, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(given); got != given || err != nil {
		t.Errorf("Find(given) = %q, %v, want %q", got, err, given)
	}
	if _, err := Find(given + "x"); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("Find(missing): error %v, want one that is not ErrNone", err)
	}
	if _, err := Find(""); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "resnet18cloud model pull") {
		t.Errorf("Find of an empty cache: error %v, want ErrNone with the command that helps", err)
	}
	path, err := CachePath()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(""); got != path || err != nil {
		t.Errorf("Find of a full cache = %q, %v, want %q", got, err, path)
	}
}
