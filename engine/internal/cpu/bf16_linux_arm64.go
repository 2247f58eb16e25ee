//go:build !purego

package cpu

import "golang.org/x/sys/unix"

// hasBF16 reports whether the kernel lists FEAT_BF16 among what programs may use: HWCAP2_BF16 of AT_HWCAP2 (Linux,
// arch/arm64/include/uapi/asm/hwcap.h). Package golang.org/x/sys/cpu does not tell.
func hasBF16() bool {
	const hwcap2, bf16 = 26, 1 << 14
	vector, _ := unix.Auxv() // without one there is no answer
	for _, entry := range vector {
		if entry[0] == hwcap2 {
			return entry[1]&bf16 != 0
		}
	}
	return false
}
