package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// asset is a file of the page, read and compressed once.
type asset struct {
	body, packed []byte // packed is gzipped; nil if that does not make it smaller
	kind         string // Content-Type
	tag          string // ETag without quotes: a hash of body
}

// assets reads all files of a folder and of those below it, by their paths. Pages, which are the HTML files, get their style
// sheets inside, so that a browser can show them after one response, and the texts of fill. styles are the sources of a
// Content-Security-Policy that permits these style sheets.
func assets(folder fs.FS, fill *strings.Replacer) (all map[string]asset, styles string, err error) {
	all, styles = map[string]asset{}, "'self'"
	err = fs.WalkDir(folder, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		if path.Ext(name) == ".html" {
			var source string
			if body, source, err = withStyle(folder, body); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			styles += source
			body = []byte(fill.Replace(string(body)))
		}
		if all[name], err = newAsset(mime.TypeByExtension(path.Ext(name)), body); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	return all, styles, err
}

var styleLink = regexp.MustCompile(`<link rel="stylesheet" href="page/([\w.-]+)">`)

// withStyle returns a page with its style sheet instead of the link to it, and the source that permits it: a space, and the
// hash of the style sheet (W3C Content Security Policy Level 3, section 2.3.1).
func withStyle(folder fs.FS, page []byte) (styled []byte, source string, err error) {
	link := styleLink.FindSubmatchIndex(page)
	if link == nil {
		return page, "", nil
	}
	style, err := fs.ReadFile(folder, string(page[link[2]:link[3]]))
	if err != nil {
		return nil, "", err
	}
	hash := sha256.Sum256(style)
	styled = slices.Concat(page[:link[0]], []byte("<style>"), style, []byte("</style>"), page[link[1]:])
	return styled, " 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'", nil
}

func newAsset(kind string, body []byte) (asset, error) {
	sum := sha256.Sum256(body)
	packed, err := pack(body)
	return asset{body: body, packed: packed, kind: kind, tag: hex.EncodeToString(sum[:8])}, err
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
