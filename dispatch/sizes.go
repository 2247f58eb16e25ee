package dispatch

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// storeSizes are how many bytes queue and results may take.
type storeSizes struct{ queue, results int64 }

// diskFactor is what a store takes on disk beyond its messages, before it compacts them.
const diskFactor = 1.25

// onDisk is what stores of these sizes take at most, the NATS server's own files included.
func (s storeSizes) onDisk() int64 {
	return int64(diskFactor*float64(s.queue+s.results)) + 4<<20
}

// leastSizes are those below which a dispatcher does not start: a few images of the largest size, and some
// thousand results.
func leastSizes(maxImage int64) storeSizes {
	return storeSizes{queue: maxImage + maxImage/2 + 1<<20, results: 2 << 20}
}

// fitDisk shrinks the sizes to what a disk holds, a twentieth of which stays free. Results give way first, down to a
// quarter of the queue; then both shrink by the same factor, but not below the least. It fails when even these do not
// fit. An example: 1 GiB and 256 MiB on a disk with 100 MB free become 59 MB and 15 MB.
func fitDisk(want, least storeSizes, disk natsconn.Disk) (storeSizes, error) {
	total := disk.Free + disk.Used
	usable := total - total/20
	if want.onDisk() <= usable {
		return want, nil
	}
	least = storeSizes{min(least.queue, want.queue), min(least.results, want.results)}
	if least.onDisk() > usable {
		return storeSizes{}, fmt.Errorf("%s free where at least %s are needed", megabytes(disk.Free), megabytes(least.onDisk()+total/20-disk.Used))
	}
	room := int64(float64(usable-4<<20) / diskFactor)
	if quarter := max(want.queue/4, least.results); want.results > quarter {
		want.results = max(quarter, room-want.queue)
	}
	factor := min(1, float64(room)/float64(want.queue+want.results))
	fit := storeSizes{queue: int64(factor * float64(want.queue)), results: int64(factor * float64(want.results))}
	// What one of them lacks for its least comes from the other.
	if lack := least.queue - fit.queue; lack > 0 {
		fit.queue, fit.results = fit.queue+lack, fit.results-lack
	} else if lack := least.results - fit.results; lack > 0 {
		fit.results, fit.queue = fit.results+lack, fit.queue-lack
	}
	return fit, nil
}

// megabytes is a number of bytes for people.
func megabytes(n int64) string {
	if n < 10e6 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d MB", n/1e6)
}
