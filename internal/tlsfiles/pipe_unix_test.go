//go:build unix

package tlsfiles_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
)

// TestPipe checks that a file that became a pipe, which nobody writes to, does not keep a later renewal from being used.
func TestPipe(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	files, renewed := authority.Issue(t), authority.Issue(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(realNow))
		var log testutil.Log
		r := tlsfiles.New(files, slog.New(slog.NewTextHandler(&log, nil)))
		if err := r.Load(); err != nil {
			t.Fatal(err)
		}
		first := serial(t, r)
		if err := os.Remove(files.Key); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(files.Key, 0o600); err != nil {
			t.Skip(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); r.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		time.Sleep(10 * time.Second)
		if n := strings.Count(log.String(), "not a regular file"); n != 1 {
			t.Errorf("%d lines about the pipe, want 1:\n%s", n, log.String())
		}
		if err := os.Remove(files.Key); err != nil {
			t.Fatal(err)
		}
		copyFiles(t, files, renewed)
		time.Sleep(3 * time.Second)
		if serial(t, r) == first {
			t.Error("the renewed certificate is not used")
		}
	})
}
