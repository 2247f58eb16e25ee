package report

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// timeSteps are durations in seconds at which a time axis may have ticks.
var timeSteps = []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 2 * 3600, 6 * 3600, 24 * 3600}

// timeAxis covers a run. Values are in seconds; labels are in the unit that suits the run's duration.
func timeAxis(s *result.Summary) chart.Axis {
	length := max(len(s.Timeline), 1)
	step := timeSteps[len(timeSteps)-1]
	for _, n := range timeSteps {
		if length/n <= 10 {
			step = n
			break
		}
	}
	a := chart.Axis{Label: "time since the start, s", Include: []float64{0, float64(length)}}
	unit := 1
	switch {
	case step >= 3600:
		unit, a.Label = 3600, "time since the start, h"
	case step >= 60:
		unit, a.Label = 60, "time since the start, min"
	}
	for t := 0; t <= length; t += step {
		a.Ticks = append(a.Ticks, chart.Tick{Value: float64(t), Label: strconv.FormatFloat(float64(t)/float64(unit), 'g', 4, 64)})
	}
	return a
}

// bucket is the number of seconds of a run that make one point: one, unless there were too many points to tell apart.
func bucket(s *result.Summary) int {
	const maxPoints = 600
	need := (len(s.Timeline) + maxPoints - 1) / maxPoints
	for _, n := range timeSteps {
		if n >= need {
			return n
		}
	}
	return need
}

// interval names a bucket.
func interval(seconds int) string {
	if seconds == 1 {
		return "second"
	}
	return fmt.Sprintf("%d seconds", seconds)
}

// overTime returns the value of each bucket of a run, without NaN.
func overTime(s *result.Summary, value func(b result.Second, seconds int) float64) []chart.Point {
	var points []chart.Point
	for i, n := 0, bucket(s); i < len(s.Timeline); i += n {
		seconds := min(n, len(s.Timeline)-i)
		if v := value(s.Between(i, i+n), seconds); !math.IsNaN(v) {
			points = append(points, chart.Point{X: float64(i), Y: v})
		}
	}
	return points
}

// percentileAxis spaces percentiles by the number of requests beyond them: each further nine takes the same distance.
func percentileAxis(highest float64) chart.Axis {
	a := chart.Axis{Label: "share of requests with at most this latency", Include: []float64{0, highest}}
	for _, p := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999} {
		if n := nines(p); n <= highest+1e-9 {
			a.Ticks = append(a.Ticks, chart.Tick{Value: n, Label: fmt.Sprintf("p%g", p)})
		}
	}
	return a
}

// nines is the position of a percentile on its axis: 1 for 90, 2 for 99, 3 for 99.9.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
