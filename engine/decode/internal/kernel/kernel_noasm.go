//go:build purego || !(amd64 || arm64)

package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

const (
	hasSIMD   = false
	simdLevel = cpu.Generic
)

func (l *Layout) rgb(dst, pixels []byte) { l.rgbGeneric(dst, pixels) }
