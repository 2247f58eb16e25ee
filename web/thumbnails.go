package web

import (
	"fmt"
	"io/fs"
	"sync"
)

// maxThumbnailSource is the size of a file in bytes above which no small picture of it is made.
const maxThumbnailSource = 16 << 20

// thumbnails makes small pictures of files when they are first asked for, one at a time, because the CPUs are there for
// others. They are kept: the files are few, and a file that changes later keeps the small picture of its past.
type thumbnails struct {
	images fs.FS
	scale  func(file []byte) ([]byte, error) // nil means that there are no small pictures

	mu   sync.Mutex
	made map[string]asset // guarded by mu: without body if there can be none
}

// get returns the small picture of a file. ok is false if there can be none.
func (t *thumbnails) get(name string) (small asset, ok bool) {
	if t.scale == nil {
		return asset{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	small, known := t.made[name]
	if !known {
		small, _ = t.make(name) // the page shows the file instead, with whatever is wrong with it
		if t.made == nil {
			t.made = map[string]asset{}
		}
		t.made[name] = small
	}
	return small, small.body != nil
}

func (t *thumbnails) make(name string) (asset, error) {
	info, err := fs.Stat(t.images, name)
	if err != nil {
		return asset{}, err
	}
	if info.Size() > maxThumbnailSource {
		return asset{}, fmt.Errorf("%s has %d bytes", name, info.Size())
	}
	file, err := fs.ReadFile(t.images, name)
	if err != nil {
		return asset{}, err
	}
	small, err := t.scale(file)
	if err != nil {
		return asset{}, err
	}
	return newAsset("image/jpeg", small)
}
