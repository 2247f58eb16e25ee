package natsconn

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Disk is the room on a folder's disk, in bytes.
type Disk struct {
	Free int64 // that this process may still write
	Used int64 // by the folder's own files
}

// LookAtDisk measures the disk of a folder. The folder need not exist: its nearest parent that does is
// asked then.
func LookAtDisk(dir string) (Disk, error) {
	existing := dir
	for {
		if _, err := os.Stat(existing); err == nil || filepath.Dir(existing) == existing {
			break
		}
		existing = filepath.Dir(existing)
	}
	free, err := freeBytes(existing)
	if err != nil {
		return Disk{}, fmt.Errorf("ask for the free space at %s: %w", dir, err)
	}
	d := Disk{Free: free}
	// Files come and go while we look, so what cannot be read does not count.
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // as above
		}
		if info, err := entry.Info(); err == nil {
			d.Used += info.Size()
		}
		return nil
	})
	return d, nil
}
