package dispatch

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// storeSizes are the maximum sizes of queue and results, in bytes.
type storeSizes struct{ queue, results int64 }

// diskFactor is the disk usage of a store relative to its messages, before compaction.
const diskFactor = 1.25

// onDisk returns the maximum disk usage of stores of these sizes, including the NATS server's own files.
func (s storeSizes) onDisk() int64 {
	return int64(diskFactor*float64(s.queue+s.results)) + 4<<20
}

// minSizes returns the smallest sizes with which a dispatcher starts: one image of the maximum size and some smaller
// ones, and about two thousand results.
func minSizes(maxImage int64) storeSizes {
	return storeSizes{queue: maxImage + maxImage/2 + 1<<20, results: 2 << 20}
}

// fitDisk shrinks the sizes to fit on a disk, leaving a twentieth of it free. Results shrink first, down to a quarter of
// the queue; then both shrink by the same factor, but not below the minimum. It returns an error if the minimum does not
// fit. For example, 1 GiB and 256 MiB on a disk with 100 MB free become 59 MB and 15 MB.
func fitDisk(want, least storeSizes, disk natsconn.Disk) (storeSizes, error) {
	total := disk.Free + disk.Used
	usable := total - total/20
	if want.onDisk() <= usable {
		return want, nil
	}
	least = storeSizes{min(least.queue, want.queue), min(least.results, want.results)}
	if least.onDisk() > usable {
		return storeSizes{}, fmt.Errorf("%s free, at least %s required", megabytes(disk.Free), megabytes(least.onDisk()+total/20-disk.Used))
	}
	room := int64(float64(usable-4<<20) / diskFactor)
	if quarter := max(want.queue/4, least.results); want.results > quarter {
		want.results = max(quarter, room-want.queue)
	}
	factor := min(1, float64(room)/float64(want.queue+want.results))
	fit := storeSizes{queue: int64(factor * float64(want.queue)), results: int64(factor * float64(want.results))}
	// If one is below its minimum, the other provides the difference.
	if deficit := least.queue - fit.queue; deficit > 0 {
		fit.queue, fit.results = fit.queue+deficit, fit.results-deficit
	} else if deficit := least.results - fit.results; deficit > 0 {
		fit.results, fit.queue = fit.results+deficit, fit.queue-deficit
	}
	return fit, nil
}

// megabytes formats a number of bytes.
func megabytes(n int64) string {
	if n < 10e6 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d MB", n/1e6)
}
