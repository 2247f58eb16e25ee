package dispatch

import (
	"slices"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// TestEvents checks what is said about each change, to those who may see addresses and to others.
func TestEvents(t *testing.T) {
	t.Parallel()
	replica := forward.Endpoint{URL: "http://10.0.0.1:5000", Healthy: true, Model: "resnet18-1", Precision: "fp32"}
	with := func(change func(e *forward.Endpoint)) []forward.Endpoint {
		e := replica
		change(&e)
		return []forward.Endpoint{e}
	}
	same := with(func(*forward.Endpoint) {})
	sick := with(func(e *forward.Endpoint) { e.Healthy, e.Problem = false, "connection refused" })
	for name, test := range map[string]struct {
		before, now observation
		want, names []string
	}{
		"start": {observation{}, observation{started: true}, []string{"info dispatcher started"}, nil},
		"open":  {observation{}, observation{ready: true}, []string{"good queue and results are open"}, nil},
		"nothing": {observation{endpoints: same, ready: true, storage: "full", full: true, refused: true},
			observation{endpoints: same, ready: true, storage: "still full", full: true, refused: true}, nil, nil},
		"new": {observation{}, observation{endpoints: same}, []string{"good http://10.0.0.1:5000 added, and healthy"}, []string{"good R added, and healthy"}},
		"set aside": {observation{endpoints: same}, observation{endpoints: sick}, []string{"bad http://10.0.0.1:5000 set aside: connection refused"},
			[]string{"bad R set aside"}},
		"back": {observation{endpoints: sick}, observation{endpoints: same}, []string{"good http://10.0.0.1:5000 is healthy"}, []string{"good R is healthy"}},
		"killed and restarted within a second": {observation{endpoints: same}, observation{endpoints: with(func(e *forward.Endpoint) { e.Serial++ })},
			[]string{"bad http://10.0.0.1:5000 was removed, and is back"}, []string{"bad R was removed, and is back"}},
		"set aside for less than a second": {observation{endpoints: same}, observation{endpoints: with(func(e *forward.Endpoint) { e.Setbacks++ })},
			[]string{"bad http://10.0.0.1:5000 was set aside, and is back"}, []string{"bad R was set aside, and is back"}},
		"gone": {observation{endpoints: same}, observation{}, []string{"info http://10.0.0.1:5000 removed"}, []string{"info R removed"}},
		"int8": {observation{endpoints: same}, observation{endpoints: with(func(e *forward.Endpoint) { e.Precision = "int8" })},
			[]string{"info http://10.0.0.1:5000 serves resnet18-1 in int8 now"}, []string{"info R serves resnet18-1 in int8 now"}},
		"model with a percent sign": {observation{endpoints: same}, observation{endpoints: with(func(e *forward.Endpoint) { e.Model = "50%off %s" })},
			[]string{"info http://10.0.0.1:5000 serves 50%off %s in fp32 now"}, []string{"info R serves 50%off %s in fp32 now"}},
		"disk full":        {observation{}, observation{storage: "/data has 0 MB"}, []string{"bad storage rejects writes: /data has 0 MB"}, []string{"bad storage rejects writes"}},
		"disk freed":       {observation{storage: "x"}, observation{}, []string{"good storage accepts writes again"}, nil},
		"refusing":         {observation{}, observation{refused: true, waiting: 200}, []string{"bad images are refused; 200 are waiting"}, nil},
		"a pause":          {observation{full: true}, observation{quiet: quietSamples - 1}, nil, nil},
		"refusing no more": {observation{full: true}, observation{quiet: quietSamples}, []string{"good images are no longer refused"}, nil},
		"stopping":         {observation{}, observation{stopping: true}, []string{"bad dispatcher is stopping: it finishes accepted images"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := test.now.since(test.before, time.Unix(1, 0))
			for _, audience := range []struct {
				name    func(string) string
				details bool
				want    []string
			}{
				{func(url string) string { return url }, true, test.want},
				{func(string) string { return "R" }, false, test.names},
			} {
				var got []string
				for _, e := range texts(list, audience.name, audience.details) {
					got = append(got, e.Kind+" "+e.Text)
				}
				if audience.want == nil && !audience.details {
					audience.want = test.want
				}
				if !slices.Equal(got, audience.want) {
					t.Errorf("%q, want %q", got, audience.want)
				}
			}
		})
	}
}

// TestAgreementOf checks that images of all replicas count that compare another precision with fp32, that it is named, and
// that there is nothing to show without such a replica.
func TestAgreementOf(t *testing.T) {
	t.Parallel()
	plain := forward.Endpoint{Healthy: true, Precision: "int8"}
	with := func(precision string, compared, equal int) forward.Endpoint {
		return forward.Endpoint{Quantization: &forward.Quantization{Precision: precision, Compared: compared, Equal: equal}}
	}
	for name, test := range map[string]struct {
		endpoints []forward.Endpoint
		want      *agreement
	}{
		"no replica":    {nil, nil},
		"none compares": {[]forward.Endpoint{plain, plain}, nil},
		"none yet":      {[]forward.Endpoint{with("bf16", 0, 0)}, &agreement{Precision: "bf16"}},
		"some":          {[]forward.Endpoint{with("bf16", 100, 99), plain, with("bf16", 50, 40)}, &agreement{"bf16", 150, 139}},
		"without name":  {[]forward.Endpoint{with("", 10, 9)}, &agreement{"int8", 10, 9}},
		"different":     {[]forward.Endpoint{with("int8", 10, 9), with("bf16", 1, 1), with("int8", 5, 5)}, &agreement{"bf16, int8", 16, 15}},
	} {
		got := agreementOf(test.endpoints)
		if (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
