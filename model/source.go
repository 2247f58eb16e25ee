package model

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// Source is the location of a weight file, and its metadata.
type Source struct {
	Location string // URL, or path of a file
	Weights  string // name of the weights
	Origin   string // who made them, as text
	Licence  string // terms of use, as text
	SHA256   string // hex digest of the file, or its first digits; empty if not known in advance
	Bytes    int64  // size of the file; zero if not known in advance
	Revision string // commit of the repository that it is from; empty for other sources

	sides map[string][]byte // files that describe the weights, by their names beside them
}

// Torchvision is torchvision's ResNet18_Weights.IMAGENET1K_V1. By PyTorch's convention, the file name has the first
// digits of its SHA-256.
func Torchvision() Source {
	return Source{
		Location: "https://download.pytorch.org/models/resnet18-f37072fd.pth",
		Weights:  "resnet18-f37072fd",
		Origin:   "torchvision ResNet18_Weights.IMAGENET1K_V1",
		Licence:  "BSD-3-Clause, and the terms of ImageNet, on which they were trained",
		SHA256:   "f37072fd",
	}
}

// file returns the name of the file.
func (s Source) file() string {
	if u, err := url.Parse(s.Location); err == nil && s.remote() {
		return path.Base(u.Path)
	}
	return filepath.Base(s.Location)
}

// URL returns the file at an HTTP(S) URL as a source. sum is its SHA-256 in hex, or empty: then it is not checked.
func URL(location, sum string) (Source, error) {
	if _, err := url.Parse(location); err != nil {
		return Source{}, fmt.Errorf("URL of weights: %w", err)
	}
	s := Source{Location: location, Licence: "unknown", SHA256: strings.ToLower(sum)}
	if name := s.file(); name == "." || name == "/" || len(name) > maxIndexText || strings.ContainsFunc(name, unicode.IsControl) {
		return Source{}, fmt.Errorf("URL %s has no file name", shown(location))
	}
	if digest, err := hex.DecodeString(sum); sum != "" && (err != nil || len(digest) != sha256.Size) {
		return Source{}, fmt.Errorf("SHA-256 %.80q, want 64 hex digits", sum)
	}
	s.Weights = stem(s.file())
	s.Origin = shown(location)
	return s, nil
}

// shown returns a location as it is printed and stored: URLs may have secrets in their query and before their host.
func shown(location string) string {
	u, err := url.Parse(location)
	if err != nil || !isURL(location) {
		return location
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// stem returns a file name without its suffixes.
func stem(name string) string {
	for _, suffix := range []string{".gz", ".tar"} {
		name = strings.TrimSuffix(name, suffix)
	}
	if short := strings.TrimSuffix(name, path.Ext(name)); short != "" {
		return short
	}
	return name
}

// remote reports whether the source is fetched by HTTP.
func (s Source) remote() bool { return isURL(s.Location) }

func isURL(location string) bool {
	return strings.HasPrefix(location, "https://") || strings.HasPrefix(location, "http://")
}

// index is a mirror's models.json.
type index struct {
	Default string `json:"default"` // name of the file to fetch
	Weights string `json:"weights"`
	Source  string `json:"source"`
	Licence string `json:"licence"`
	Files   []struct {
		Name   string `json:"name"`
		Bytes  int64  `json:"bytes"`
		SHA256 string `json:"sha256"`
	} `json:"files"`
}

// Limits on a models.json, in bytes.
const (
	maxIndex     = 1 << 20
	maxIndexText = 512 // of each text in it
)

// Mirror reads the models.json of a mirror, a folder or an HTTP(S) URL, and returns its default file.
func Mirror(ctx context.Context, client *http.Client, mirror string) (Source, error) {
	data, err := readIndex(ctx, client, mirror)
	if err != nil {
		return Source{}, fmt.Errorf("read models.json of mirror %s: %w", mirror, err)
	}
	s, err := parseIndex(data)
	if err != nil {
		return Source{}, fmt.Errorf("models.json of mirror %s: %w", mirror, err)
	}
	if isURL(mirror) {
		s.Location, err = url.JoinPath(mirror, s.Location)
	} else {
		s.Location = filepath.Join(mirror, s.Location)
	}
	return s, err
}

func readIndex(ctx context.Context, client *http.Client, mirror string) ([]byte, error) {
	var r io.ReadCloser
	if isURL(mirror) {
		at, err := url.JoinPath(mirror, "models.json")
		if err != nil {
			return nil, err
		}
		response, err := get(ctx, client, at, 0, "")
		if err != nil {
			return nil, err
		}
		r = response.Body
		if response.StatusCode != http.StatusOK {
			r.Close()
			return nil, errStatus(response.StatusCode)
		}
	} else {
		f, err := os.Open(filepath.Join(mirror, "models.json"))
		if err != nil {
			return nil, err
		}
		r = f
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxIndex+1))
	if err == nil && len(data) > maxIndex {
		err = fmt.Errorf("it has more than %d bytes", maxIndex)
	}
	return data, err
}

// parseIndex returns the default file, with its name in Location. The name must not be a path: a mirror must not choose
// files elsewhere on this machine.
func parseIndex(data []byte) (Source, error) {
	var in index
	if err := json.Unmarshal(data, &in); err != nil {
		return Source{}, err
	}
	if in.Default == "" || in.Default != filepath.Base(in.Default) || in.Default == "." || in.Default == ".." {
		return Source{}, fmt.Errorf("default is %.100q, want the name of a file in the same folder", in.Default)
	}
	// These are printed, and stored with the weights.
	for _, text := range []struct{ name, value string }{
		{"default", in.Default}, {"weights", in.Weights}, {"source", in.Source}, {"licence", in.Licence},
	} {
		if len(text.value) > maxIndexText || strings.ContainsFunc(text.value, unicode.IsControl) {
			return Source{}, fmt.Errorf("%s is %.100q, want at most %d bytes without control characters", text.name, text.value, maxIndexText)
		}
	}
	for _, f := range in.Files {
		if f.Name != in.Default {
			continue
		}
		if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size || f.Bytes <= 0 || f.Bytes > weights.MaxBytes {
			return Source{}, fmt.Errorf("%s: sha256 is %.100q and bytes is %d, want 64 hex digits and a size up to %d",
				f.Name, f.SHA256, f.Bytes, weights.MaxBytes)
		}
		return Source{Location: f.Name, Weights: in.Weights, Origin: in.Source, Licence: in.Licence, SHA256: strings.ToLower(f.SHA256), Bytes: f.Bytes}, nil
	}
	return Source{}, fmt.Errorf("default %q is not in the list of files", in.Default)
}
