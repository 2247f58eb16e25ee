package autoscaler

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// FuzzStatus checks that for any response of dispatchers totals do not decrease and a policy decides within its limits.
func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"queue_size":3,"health_metrics":{"uptime":10},"scaling":{"offered":10,"completed":9,"service_seconds":0.5}}`),
		[]byte(`{"queue_size":0,"health_metrics":{"uptime":11},"scaling":{"offered":30,"completed":29,"service_seconds":1.5}}`))
	f.Add([]byte(`{"total_requests":-5,"performance_metrics":{"avg_processing_time":1e300}}`), []byte(`{}`))
	f.Add([]byte(`{"instance":"http://y","scaling":{"offered":5}}`), []byte(`{"instance":"b","scaling":{"offered":7}}`))
	f.Add([]byte(`{"scaling":{"offered":9223372036854775807}}`), []byte(`{"scaling":{"offered":-9223372036854775808}}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		l := newLedger(time.Second)
		l.list([]string{"http://x", "http://y"})
		p := autoscale.NewDeadline(autoscale.DeadlineConfig{Limits: autoscale.Limits{Min: 2, Max: 9}})
		now := time.Unix(1000, 0)
		for _, body := range [][]byte{first, second, first} {
			var s status
			if json.Unmarshal(body, &s) != nil {
				return
			}
			before := l.state.Total
			now = now.Add(time.Second)
			l.take("http://x", now, &s)
			l.take("http://y", now, &s)
			l.settle(now, false)
			if after := l.state.Total; after.Offered < before.Offered || after.Completed < before.Completed || after.Service < before.Service ||
				after.Uptime < before.Uptime || after.Refused < before.Refused || after.Failed < before.Failed || after.Queueing < before.Queueing {
				t.Fatalf("totals went back: %+v, then %+v", before, after)
			}
			d := p.Decide(now, l.snapshot(autoscale.Scale{Desired: 3}))
			if d.Replicas < 2 || d.Replicas > 9 {
				t.Fatalf("%d replicas, want 2 to 9: %v", d.Replicas, d.Reasons)
			}
		}
	})
}
