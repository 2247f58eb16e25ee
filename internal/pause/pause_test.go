package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

func TestFor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cancelAfter, want time.Duration
	}{
		"context stays":     {time.Hour, time.Minute},
		"context ends":      {time.Second, time.Second},
		"context has ended": {0, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.cancelAfter)
				defer cancel()
				start := time.Now()
				pause.For(ctx, time.Minute)
				if took := time.Since(start); took != test.want {
					t.Errorf("For returned after %s, want %s", took, test.want)
				}
			})
		})
	}
}
