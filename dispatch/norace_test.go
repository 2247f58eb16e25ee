//go:build !race

package dispatch_test

// withRace reports whether the race detector is on, which needs several times as much memory.
const withRace = false
