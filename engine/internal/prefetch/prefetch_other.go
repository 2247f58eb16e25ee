//go:build purego || !amd64

package prefetch

func lines(*byte, int) {}
