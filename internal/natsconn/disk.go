package natsconn

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Disk is the space on a folder's disk, in bytes.
type Disk struct {
	Free int64 // available to this process
	Used int64 // used by the folder's own files
}

// StatDisk returns the disk usage of a folder. If the folder does not exist, it uses the disk of its nearest existing
// parent.
func StatDisk(dir string) (Disk, error) {
	free, err := FreeBytes(dir)
	if err != nil {
		return Disk{}, err
	}
	d := Disk{Free: free}
	// Files are created and deleted meanwhile, so unreadable ones are skipped.
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

// FreeBytes returns how many bytes this process can write to the disk of a folder, or of its nearest existing parent.
func FreeBytes(dir string) (int64, error) {
	existing := dir
	for {
		if _, err := os.Stat(existing); err == nil || filepath.Dir(existing) == existing {
			break
		}
		existing = filepath.Dir(existing)
	}
	free, err := freeBytes(existing)
	if err != nil {
		return 0, fmt.Errorf("get free space of %s: %w", dir, err)
	}
	return free, nil
}
