package report

import "time"

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
