package dispatch

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// progressed counts heartbeats.
type progressed struct{ times atomic.Int64 }

func (p *progressed) Job() resnet18cloud.Job                   { return resnet18cloud.Job{} }
func (p *progressed) Ack(context.Context) error                { return nil }
func (p *progressed) Nak(context.Context, time.Duration) error { return nil }
func (p *progressed) InProgress(context.Context) error         { p.times.Add(1); return nil }

// TestKeepAliveStops checks that the queue gets a heartbeat every third of the ack wait, and none after stop, even if
// stop is called as the timer fires.
func TestKeepAliveStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &Dispatcher{cfg: Config{RedeliverAfter: 3 * time.Second}.withDefaults()}
		for range 500 {
			var p progressed
			stop := d.keepAlive(t.Context(), &p)
			time.Sleep(2 * time.Second) // the timer fires at the same time
			stop()
			told := p.times.Load()
			if told < 1 || told > 2 {
				t.Fatalf("%d heartbeats in 2 s, want one or two", told)
			}
			time.Sleep(10 * time.Second)
			if again := p.times.Load() - told; again > 0 {
				t.Fatalf("%d heartbeats after stop", again)
			}
		}
	})
}
