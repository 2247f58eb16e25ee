//go:build purego || !(amd64 || arm64)

package kernel8

func assembly() []*Set { return nil }
