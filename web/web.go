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

// sample is an image that the page offers.
type sample struct {
	Name  string `json:"name"`  // file name it is sent under
	Title string `json:"title"` // what it shows, for people
	URL   string `json:"url"`
}

// Handler serves the page at / and what it loads below [Path]. It offers JPEG and PNG files of images, spread evenly
// over the folder; nil, or a folder without any, means built-in drawings.
func Handler(images fs.FS) (http.Handler, error) {
	own, err := fs.Sub(static, "static")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	folder, files, err := pictures(own, images)
	if err != nil {
		return nil, fmt.Errorf("web: list sample images: %w", err)
	}
	samples := make([]sample, 0, len(files))
	for _, name := range files {
		samples = append(samples, sample{Name: sentName(name), Title: title(name), URL: Path + "samples/" + name})
	}
	list, err := json.Marshal(samples)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, own, "index.html") })
	mux.HandleFunc("GET /dashboard", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, own, "dashboard.html") })
	mux.HandleFunc("GET "+Path+"{name...}", func(w http.ResponseWriter, r *http.Request) {
		serveFile(w, r, own, r.PathValue("name"))
	})
	mux.HandleFunc("GET "+Path+"samples.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(list)
	})
	mux.HandleFunc("GET "+Path+"samples/{name}", func(w http.ResponseWriter, r *http.Request) {
		if name := r.PathValue("name"); slices.Contains(files, name) { // no other file of the folder is served
			http.ServeFileFS(w, r, folder, name)
			return
		}
		http.NotFound(w, r)
	})
	return secured(mux), nil
}

// serveFile serves a file of the folder, and 404 for all else. http.FileServer would list folders, and respond with 500 to
// a path that no file system can have, such as one that is not UTF-8.
func serveFile(w http.ResponseWriter, r *http.Request, folder fs.FS, name string) {
	if info, err := fs.Stat(folder, name); err != nil || info.IsDir() {
		http.NotFound(w, r)
		return
	}
	http.ServeFileFS(w, r, folder, name)
}

// secured allows the page to load from this server only, and not in a frame.
func secured(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy",
			"default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache") // the next version of the binary may have another page
		h.ServeHTTP(w, r)
	})
}

// pictures lists the images to offer, and their folder.
func pictures(own, images fs.FS) (folder fs.FS, files []string, err error) {
	if images != nil {
		if files, err = list(images, ".jpeg", ".jpg", ".png"); err != nil {
			return nil, nil, err
		}
		if len(files) > 0 {
			return images, spread(files, sampleCount), nil
		}
	}
	if folder, err = fs.Sub(own, "samples"); err != nil {
		return nil, nil, err
	}
	files, err = list(folder, ".svg")
	return folder, files, err
}

// list returns the files of a folder that have one of the extensions, by name.
func list(folder fs.FS, extensions ...string) ([]string, error) {
	entries, err := fs.ReadDir(folder, ".")
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
