//go:build purego || !(amd64 || arm64)

package kernel

func assembly() []*Set { return nil }
