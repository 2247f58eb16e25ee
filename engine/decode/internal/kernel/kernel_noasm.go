//go:build purego || !amd64

package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

const (
	hasSIMD   = false
	simdLevel = cpu.Generic
)

func yuvToRGB(dst, y, u, v []byte) { yuvToRGBGeneric(dst, y, u, v) }

func upsample(dst, near, far []byte) { upsampleGeneric(dst, near, far) }
