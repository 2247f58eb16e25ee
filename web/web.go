// Package web is the web page of a dispatcher: it classifies images, shows labels, confidence and stage timings, and
// the state of queue and replicas. It is plain HTML, CSS and JavaScript, embedded in the binary, and uses only the
// HTTP API.
package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed static
var static embed.FS

// Path is the prefix of everything the page loads besides "/" and the API.
const Path = "/page/"

// sampleCount is the number of images of a folder that are offered: three rows on a laptop's screen.
const sampleCount = 18

// sample is an image that the page can send.
type sample struct {
	Name   string `json:"name"`             // file name it is sent under
	Title  string `json:"title"`            // what it shows, for people
	URL    string `json:"url"`              // relative to the page
	Small  string `json:"small"`            // what the page shows, likewise
	Hidden bool   `json:"hidden,omitempty"` // only for links such as ./?sample=candle
}

// Config says what the page offers. The zero value is usable.
type Config struct {
	// Images is a folder whose JPEG and PNG files are samples, spread evenly over the folder. Nil, or a folder without any,
	// means built-in drawings.
	Images fs.FS
	// Thumbnail makes a small JPEG of such a file, which the page shows instead of it. Nil means that it shows the file.
	Thumbnail func(file []byte) ([]byte, error)
	// MaxImageBytes is the server's limit on images, which the page names. Zero means that it names none.
	MaxImageBytes int64
}

// Handler serves the page at /, the dashboard, and what they load below [Path]. Their addresses are relative, so they work
// below any path that leads here.
func Handler(c Config) (http.Handler, error) {
	own, err := fs.Sub(static, "static")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	files, policy, err := assets(own, strings.NewReplacer("<!-- limit -->", upTo(c.MaxImageBytes)))
	if err != nil {
		return nil, fmt.Errorf("web: read the page: %w", err)
	}
	drawings, err := list(own, "samples", ".svg")
	if err != nil {
		return nil, fmt.Errorf("web: list drawings: %w", err)
	}
	var photographs []string
	if c.Images != nil {
		if photographs, err = list(c.Images, ".", ".jpeg", ".jpg", ".png"); err != nil {
			return nil, fmt.Errorf("web: list sample images: %w", err)
		}
		photographs = spread(photographs, sampleCount)
	}
	offered := append(describe(photographs, true), describe(drawings, false)...)
	for i := range offered {
		offered[i].Hidden = len(photographs) > 0 && i >= len(photographs)
	}
	samples, err := json.Marshal(offered)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	small := thumbnails{images: c.Images, scale: c.Thumbnail}

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", files["index.html"])
	mux.Handle("GET /dashboard", files["dashboard.html"])
	mux.HandleFunc("GET "+Path+"{name...}", func(w http.ResponseWriter, r *http.Request) {
		if file, ok := files[r.PathValue("name")]; ok { // folders are not listed
			file.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	mux.HandleFunc("GET "+Path+"samples.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(samples)
	})
	mux.HandleFunc("GET "+Path+"samples/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if slices.Contains(photographs, name) { // no other file of the folder is served
			http.ServeFileFS(w, r, c.Images, name)
			return
		}
		if file, ok := files["samples/"+name]; ok {
			file.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	mux.HandleFunc("GET "+Path+"thumbnails/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if !slices.Contains(photographs, name) {
			http.NotFound(w, r)
			return
		}
		if file, ok := small.get(name); ok {
			file.ServeHTTP(w, r)
			return
		}
		http.ServeFileFS(w, r, c.Images, name)
	})
	return secured(mux, policy), nil
}

// upTo is what the page says about a limit in bytes.
func upTo(limit int64) string {
	switch {
	case limit <= 0:
		return ""
	case limit < 1<<20:
		return fmt.Sprintf(", up to %.4g KiB", float64(limit)/(1<<10))
	}
	return fmt.Sprintf(", up to %.4g MiB", float64(limit)/(1<<20))
}

// describe returns the samples of photographs, or those of drawings.
func describe(files []string, photographs bool) []sample {
	samples := make([]sample, 0, len(files))
	for _, name := range files {
		address := strings.TrimPrefix(Path, "/") + "samples/" + url.PathEscape(name)
		small := address
		if photographs {
			small = strings.TrimPrefix(Path, "/") + "thumbnails/" + url.PathEscape(name)
		}
		samples = append(samples, sample{Name: sentName(name), Title: title(name), URL: address, Small: small})
	}
	return samples
}

// secured allows the pages to load from this server only, to have the styles of policy, and not to be in a frame.
func secured(h http.Handler, styles string) http.Handler {
	policy := "default-src 'self'; style-src " + styles + "; img-src 'self' blob:; object-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache") // asked for each time, because the next binary may have another page
		h.ServeHTTP(w, r)
	})
}

// list returns the files of a folder of fsys that have one of the extensions, by name.
func list(fsys fs.FS, folder string, extensions ...string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains(extensions, strings.ToLower(path.Ext(e.Name()))) {
			files = append(files, e.Name())
		}
	}
	return files, nil
}

// spread returns n of the names at equal distances, or all if there are no more.
func spread(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	taken := make([]string, n)
	for i := range taken {
		taken[i] = names[i*len(names)/n]
	}
	return taken
}

// sentName is the name a sample is sent under: drawings become JPEG files in the browser.
func sentName(file string) string {
	if drawing, ok := strings.CutSuffix(file, ".svg"); ok {
		return drawing + ".jpg"
	}
	return file
}

// wordNetID begins the names of ImageNet's files.
var wordNetID = regexp.MustCompile(`^n\d{8}_`)

// title is what a file shows, by a name such as traffic-light.svg or, as ImageNet names them,
// n06874185_traffic_light.JPEG.
func title(file string) string {
	name := wordNetID.ReplaceAllString(strings.TrimSuffix(file, path.Ext(file)), "")
	return strings.NewReplacer("_", " ", "-", " ").Replace(name)
}
