package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// asset is a file of the page, read and compressed once.
type asset struct {
	body, packed []byte // packed is gzipped; nil if that does not make it smaller
	kind         string // Content-Type
	tag          string // ETag without quotes: a hash of body
}

// assets reads all files of a folder and of those below it, by their paths.
func assets(folder fs.FS) (map[string]asset, error) {
	all := map[string]asset{}
	err := fs.WalkDir(folder, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		a := asset{body: body, kind: mime.TypeByExtension(path.Ext(name)), tag: hex.EncodeToString(sum[:8])}
		if a.packed, err = pack(body); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all[name] = a
		return nil
	})
	return all, err
}

// pack returns body gzipped, or nil if that saves less than a tenth.
func pack(body []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if buf.Len() > len(body)-len(body)/10 {
		return nil, nil
	}
	return buf.Bytes(), nil
}

// ServeHTTP serves the file, compressed if the client accepts that. A client that has this version gets 304.
func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}
	body, tag := a.body, a.tag
	if a.packed != nil {
		h.Add("Vary", "Accept-Encoding")
		// A part of a compressed file is of no use to who asked for a part of the file.
		if accepts(r, "gzip") && r.Header.Get("Range") == "" {
			h.Set("Content-Encoding", "gzip")
			body, tag = a.packed, a.tag+"-gzip"
		}
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// accepts reports whether a request names a content coding without refusing it.
func accepts(r *http.Request, coding string) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), coding) {
				_, q, _ := strings.Cut(weight, "=")
				return strings.Trim(q, " 0.") != "" || strings.TrimSpace(q) == ""
			}
		}
	}
	return false
}
