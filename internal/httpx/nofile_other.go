//go:build !unix

package httpx

// maxFiles is how many descriptors this process may have; 0: the system sets no limit.
func maxFiles() uint64 { return 0 }
