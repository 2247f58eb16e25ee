//go:build !unix

package images

import "os"

// Map reads a file. On Unix it maps the file into memory; release is for that.
func Map(path string) (data []byte, release func(), err error) {
	data, err = os.ReadFile(path)
	return data, func() {}, err
}
