//go:build linux && amd64

// Command avx512 runs a test on an emulated CPU: `go test -exec 'avx512 VMLINUZ'`. Each test binary boots a PC of its
// own, which Bochs emulates instruction by instruction: an Ice Lake, with AVX-512 and its 8-bit dot product. The PC
// runs Debian's kernel and, as the only processes, this program as init and the test. A PC whose best level is not
// avx512vnni fails the test.
//
// The test finds its package's folder with testdata and the module's go.mod at the same paths as on this machine, and
// nothing else.
package main

import (
	"fmt"
	"os"
)

func main() {
	run := host
	if os.Getpid() == 1 {
		run = guest
	}
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "avx512:", err)
		status = 1
	}
	os.Exit(status)
}
