package natsconn

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestMergeStream(t *testing.T) {
	t.Parallel()
	want := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Retention: jetstream.WorkQueuePolicy,
		Discard: jetstream.DiscardNew, MaxMsgs: 300, MaxBytes: 1 << 30, MaxAge: time.Hour, MaxMsgsPerSubject: 1, Replicas: 3}
	shared := StreamPolicy{Settings: Settings{Replicas: "--nats-replicas", Bytes: "--queue-bytes", Messages: "--queue-capacity", Age: "--result-ttl"}}
	ours := shared
	ours.Settings.OwnMessages = 10
	with := func(change func(*jetstream.StreamConfig)) jetstream.StreamConfig {
		c := want
		change(&c)
		return c
	}
	tests := map[string]struct {
		have    jetstream.StreamConfig
		policy  StreamPolicy
		changed bool
		problem []string // substrings of the error; none means no error
	}{
		"the same":                        {have: want, policy: shared},
		"fewer replicas are raised":       {have: with(func(c *jetstream.StreamConfig) { c.Replicas = 1 }), policy: shared, changed: true},
		"fewer bytes are raised":          {have: with(func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }), policy: shared, changed: true},
		"direct reads are turned off":     {have: with(func(c *jetstream.StreamConfig) { c.AllowDirect = true }), policy: shared, changed: true},
		"another subject is added":        {have: with(func(c *jetstream.StreamConfig) { c.Subjects = []string{"s.old"} }), policy: shared, changed: true},
		"more replicas":                   {have: with(func(c *jetstream.StreamConfig) { c.Replicas = 5 }), policy: shared, problem: []string{"replicas 5", "--nats-replicas asks for 3"}},
		"more bytes":                      {have: with(func(c *jetstream.StreamConfig) { c.MaxBytes = 2 << 30 }), policy: shared, problem: []string{"max_bytes 2147483648", "--queue-bytes asks for 1073741824"}},
		"no limit on bytes":               {have: with(func(c *jetstream.StreamConfig) { c.MaxBytes = -1 }), policy: shared, problem: []string{"max_bytes -1", "--queue-bytes"}},
		"more messages":                   {have: with(func(c *jetstream.StreamConfig) { c.MaxMsgs = 301 }), policy: shared, problem: []string{"max_msgs 301", "--queue-capacity asks for 300"}},
		"longer":                          {have: with(func(c *jetstream.StreamConfig) { c.MaxAge = 2 * time.Hour }), policy: shared, problem: []string{"max_age 2h0m0s", "--result-ttl asks for 1h0m0s"}},
		"another application's":           {have: with(func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy }), policy: shared, problem: []string{"use another prefix"}},
		"our own may shrink":              {have: with(func(c *jetstream.StreamConfig) { c.MaxBytes, c.MaxMsgs = 2<<30, 400 }), policy: StreamPolicy{Exclusive: true}, changed: true},
		"existing ones stay":              {have: with(func(c *jetstream.StreamConfig) { c.MaxBytes, c.Replicas = 2<<30, 1 }), policy: StreamPolicy{UseExisting: true}},
		"existing ones must fit":          {have: with(func(c *jetstream.StreamConfig) { c.Subjects = []string{"other.>"} }), policy: StreamPolicy{UseExisting: true}, problem: []string{"list of subjects"}},
		"existing ones allow stale reads": {have: with(func(c *jetstream.StreamConfig) { c.AllowDirect = true }), policy: StreamPolicy{UseExisting: true}, problem: []string{"allow_direct"}},
		"more messages than jobs":         {have: with(func(c *jetstream.StreamConfig) { c.MaxMsgs = 350 }), policy: ours, problem: []string{"room for 340 jobs, which is max_msgs 350", "--queue-capacity asks for 290"}},
		"more of two":                     {have: with(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Replicas = 301, 5 }), policy: shared, problem: []string{"max_msgs 301", "replicas 5"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.have.Placement = &jetstream.Placement{Cluster: "theirs"}
			merged, changed, err := mergeStream(test.have, want, test.policy)
			if len(test.problem) > 0 {
				if !errors.Is(err, ErrPermanent) {
					t.Fatalf("error %v, want a permanent one", err)
				}
				for _, part := range test.problem {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("error %q does not say %q", err, part)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if changed != test.changed || merged.Placement == nil {
				t.Errorf("changed = %t, placement %v; want %t, and the placement kept", changed, merged.Placement, test.changed)
			}
			if !test.policy.UseExisting && (merged.Replicas != want.Replicas || merged.MaxBytes != want.MaxBytes ||
				merged.MaxMsgs != want.MaxMsgs || merged.MaxAge != want.MaxAge || merged.AllowDirect || !covers(merged.Subjects, want.Subjects)) {
				t.Errorf("merged into %+v, want %+v", merged, want)
			}
		})
	}
}

func TestCheckPrefix(t *testing.T) {
	t.Parallel()
	for prefix, good := range map[string]bool{
		DefaultPrefix: true, "team-a_2": true, strings.Repeat("a", 32): true,
		"": false, "Team": false, "a.b": false, "a*": false, "a b": false, strings.Repeat("a", 33): false,
	} {
		if err := CheckPrefix(prefix); (err == nil) != good {
			t.Errorf("CheckPrefix(%q) = %v, want ok %t", prefix, err, good)
		}
	}
}
