//go:build purego || !arm64

package kernel16

func assembly() []*Set { return nil }
