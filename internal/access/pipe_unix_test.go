//go:build unix

package access_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestPipes checks that files that became pipes, which nobody writes to, do not keep later changes from being used.
func TestPipes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path, token := file(t, "shop predict "+hash("a")), filepath.Join(t.TempDir(), "token")
		write(t, token, "first")
		var log testutil.Log
		logger := slog.New(slog.NewTextHandler(&log, nil))
		g, err := access.Open(path, logger)
		if err != nil {
			t.Fatal(err)
		}
		f, err := access.OpenTokenFile(token, logger)
		if err != nil {
			t.Fatal(err)
		}
		following(t, g.Run, func(func()) {
			following(t, f.Run, func(wait func()) {
				for _, name := range []string{path, token} {
					if err := os.Remove(name); err != nil {
						t.Fatal(err)
					}
					if err := syscall.Mkfifo(name, 0o600); err != nil {
						t.Skip(err)
					}
				}
				wait()
				wait()
				if n := strings.Count(log.String(), "not a regular file"); n != 2 || f.Token() != "first" {
					t.Errorf("%d lines about pipes, want 2:\n%s", n, log.String())
				}
				for _, name := range []string{path, token} {
					if err := os.Remove(name); err != nil {
						t.Fatal(err)
					}
				}
				write(t, path, "shop predict "+hash("b"))
				write(t, token, "second")
				wait()
				if status, _, _ := request(g, access.Predict, "Bearer a"); status != 401 || f.Token() != "second" {
					t.Errorf("after the pipes: the removed key gives %d, the token is %q", status, f.Token())
				}
			})
		})
	})
}
