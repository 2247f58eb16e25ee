//go:build !unix

package httpx

// maxFiles returns the limit on file descriptors; 0 means that there is none.
func maxFiles() uint64 { return 0 }
