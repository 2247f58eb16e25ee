//go:build !purego

package cpu

import "golang.org/x/sys/cpu"

func detect() []Level {
	x := &cpu.X86
	var levels []Level
	if x.HasAVX2 && x.HasFMA {
		levels = append(levels, AVX2)
		if x.HasAVXVNNI {
			levels = append(levels, AVXVNNI)
		}
		if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL {
			levels = append(levels, AVX512)
			if x.HasAVX512VNNI {
				levels = append(levels, AVX512VNNI)
			}
		}
	}
	return levels
}
