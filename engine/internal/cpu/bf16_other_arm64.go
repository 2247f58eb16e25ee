//go:build !purego && !linux

package cpu

// hasBF16: only Linux is asked, as nothing else could be tested.
func hasBF16() bool { return false }
