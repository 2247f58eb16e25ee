package dispatch

import (
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

func TestFitDisk(t *testing.T) {
	t.Parallel()
	const mb = 1_000_000
	usual, least := storeSizes{queue: 1 << 30, results: 256 << 20}, minSizes(10<<20)
	tests := map[string]struct {
		want     storeSizes
		disk     natsconn.Disk
		fit      storeSizes // zero means any sizes that fit
		problem  string
		describe func(storeSizes) bool
	}{
		"a large disk":                          {want: usual, disk: natsconn.Disk{Free: 100_000 * mb}, fit: usual},
		"exactly enough":                        {want: usual, disk: natsconn.Disk{Free: usual.onDisk()*20/19 + 1}, fit: usual},
		"existing files count as free space":    {want: usual, disk: natsconn.Disk{Free: 1000 * mb, Used: 1000 * mb}, fit: usual},
		"small stores on a small disk":          {want: storeSizes{40 * mb, 2 * mb}, disk: natsconn.Disk{Free: 70 * mb}, fit: storeSizes{40 * mb, 2 * mb}},
		"small stores may be below the minimum": {want: storeSizes{12 * mb, 1 * mb}, disk: natsconn.Disk{Free: 24 * mb}, fit: storeSizes{12 * mb, 1 * mb}},
		"far too small":                         {want: usual, disk: natsconn.Disk{Free: 1 * mb}, problem: "1.0 MB free, at least 27 MB required"},
		"too small with existing files":         {want: usual, disk: natsconn.Disk{Free: 5 * mb, Used: 10 * mb}, problem: "5.0 MB free, at least 18 MB required"},
		"200 images of 100 KB fit into 100 MB":  {want: usual, disk: natsconn.Disk{Free: 100 * mb}, describe: func(s storeSizes) bool { return s.queue > 200*101_000 && s.results > 10*mb }},
		"both shrink alike":                     {want: usual, disk: natsconn.Disk{Free: 500 * mb}, describe: func(s storeSizes) bool { return s.queue/4 >= s.results-1 && s.queue/4 <= s.results+1 }},
		"results keep their minimum":            {want: usual, disk: natsconn.Disk{Free: 30 * mb}, describe: func(s storeSizes) bool { return s.results >= least.results && s.queue >= least.queue }},
		"results give way to a larger queue":    {want: storeSizes{90 * mb, 256 << 20}, disk: natsconn.Disk{Free: 100 * mb}, describe: func(s storeSizes) bool { return s.queue > 55*mb && s.results > 10*mb }},
		"results give way to a queue that fits": {want: storeSizes{50 * mb, 256 << 20}, disk: natsconn.Disk{Free: 100 * mb}, describe: func(s storeSizes) bool { return s.queue > 50*mb-2 && s.results > 20*mb }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := fitDisk(test.want, least, test.disk)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Fatalf("fitDisk = %+v, %v, want an error with %q", got, err, test.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if total := test.disk.Free + test.disk.Used; got.onDisk() > total-total/20 {
				t.Errorf("fitDisk = %+v, which takes %d of %d bytes", got, got.onDisk(), total)
			}
			if test.fit != (storeSizes{}) && got != test.fit || test.describe != nil && !test.describe(got) {
				t.Errorf("fitDisk = %+v, want %+v", got, test.fit)
			}
		})
	}
}
