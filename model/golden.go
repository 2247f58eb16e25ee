package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
)

// MetaGolden is the key of safetensors' metadata under which a file keeps its golden pictures, as JSON: a list of [Golden].
const MetaGolden = "golden"

// Golden is a picture with the class that a model must find in it before the model serves.
type Golden struct {
	Name    string `json:"name"`    // for people, such as "glass/017.jpg"
	Class   int    `json:"class"`   // expected best class
	Picture []byte `json:"picture"` // file of a small picture
}

// Limits on golden pictures. All of them fit into the header of a safetensors file, in base64.
const (
	MaxGolden       = 32
	maxGoldenBytes  = 64 << 10 // of one picture; 32 of these are 2.7 MiB in base64
	goldenSide      = 320      // of larger pictures, the shorter side is reduced to this or up to twice as many pixels
	maxGoldenShown  = 5        // in an error
	goldenQuality   = 85
	maxGoldenSource = 10 << 20
)

// GoldenOf reads the golden pictures of a file's metadata; none is no error.
func GoldenOf(metadata map[string]string) ([]Golden, error) {
	text := metadata[MetaGolden]
	if text == "" {
		return nil, nil
	}
	var golden []Golden
	if err := json.Unmarshal([]byte(text), &golden); err != nil {
		return nil, fmt.Errorf("golden pictures: %w", err)
	}
	if len(golden) > MaxGolden {
		return nil, fmt.Errorf("%d golden pictures, want at most %d", len(golden), MaxGolden)
	}
	for _, g := range golden {
		if g.Class < 0 || len(g.Picture) == 0 || len(g.Picture) > maxGoldenBytes || len(g.Name) > maxIndexText {
			return nil, fmt.Errorf("golden picture %.80q of class %d has %d bytes, want 1 to %d", g.Name, g.Class, len(g.Picture), maxGoldenBytes)
		}
	}
	return golden, nil
}

// CheckGolden classifies golden pictures. The error names those in which the model finds another class than the expected
// one.
func CheckGolden(ctx context.Context, e *engine.Engine, golden []Golden) error {
	var wrong []string
	model := e.Spec()
	for _, g := range golden {
		if g.Class >= model.Head.Classes {
			wrong = append(wrong, fmt.Sprintf("%s is to be class %d of %d", g.Name, g.Class, model.Head.Classes))
			continue
		}
		r, err := e.Classify(ctx, resnet18cloud.Image{Name: g.Name, Bytes: g.Picture})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("%s: %v", g.Name, err))
		case r.Scores[0].Index != g.Class:
			wrong = append(wrong, fmt.Sprintf("%s is %q, want %q", g.Name, r.Scores[0].Label, model.Label(g.Class)))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	shown := wrong[:min(len(wrong), maxGoldenShown)]
	more := ""
	if n := len(wrong) - len(shown); n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	return fmt.Errorf("%d of %d golden pictures are wrong: %s%s", len(wrong), len(golden), strings.Join(shown, "; "), more)
}

// addGolden adds the golden pictures of a folder to metadata, if the model finds the expected classes in them.
func addGolden(dir string, set *weights.Set, metadata map[string]string) error {
	e, err := engine.New(engine.Config{Weights: set, Concurrency: 1})
	if err != nil {
		return err
	}
	defer e.Close()
	golden, err := readGolden(context.Background(), dir, e)
	if err == nil {
		err = CheckGolden(context.Background(), e, golden)
	}
	if err != nil {
		return fmt.Errorf("folder %s: %w", dir, err)
	}
	text, err := json.Marshal(golden)
	metadata[MetaGolden] = string(text)
	return err
}

// readGolden reads the pictures of a folder. Those in a subfolder are to be of the class with its name; those in the folder
// itself of the class that the model finds now. Of more than MaxGolden, some of each class are taken.
func readGolden(ctx context.Context, dir string, e *engine.Engine) ([]Golden, error) {
	files, err := images.Find(dir)
	if err != nil {
		return nil, err
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	var golden []Golden
	for _, path := range spread(files) {
		name, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		g := Golden{Name: filepath.ToSlash(name)}
		if g.Picture, err = small(path, e.Spec().Preprocess.Orient); err != nil {
			return nil, fmt.Errorf("golden picture %s: %w", name, err)
		}
		if g.Class, err = expected(ctx, g, e); err != nil {
			return nil, err
		}
		golden = append(golden, g)
	}
	return golden, nil
}

// expected returns the class that a golden picture is to be of.
func expected(ctx context.Context, g Golden, e *engine.Engine) (int, error) {
	label := filepath.Base(filepath.Dir(g.Name))
	if label == "." {
		r, err := e.Classify(ctx, resnet18cloud.Image{Name: g.Name, Bytes: g.Picture})
		if err != nil {
			return 0, fmt.Errorf("golden picture %s: %w", g.Name, err)
		}
		return r.Scores[0].Index, nil
	}
	m := e.Spec()
	for class := range m.Head.Classes {
		if m.Label(class) == label {
			return class, nil
		}
	}
	return 0, fmt.Errorf("golden picture %s: the model has no class %q; name each folder like a class", g.Name, label)
}

// spread returns at most MaxGolden files: the first of each folder, then the second, and so on.
func spread(files []string) []string {
	folders := map[string][]string{}
	for _, path := range files {
		folders[filepath.Dir(path)] = append(folders[filepath.Dir(path)], path)
	}
	names := slices.Sorted(maps.Keys(folders))
	var chosen []string
	for i := 0; len(chosen) < min(MaxGolden, len(files)); i++ {
		for _, name := range names {
			if i < len(folders[name]) && len(chosen) < MaxGolden {
				chosen = append(chosen, folders[name][i])
			}
		}
	}
	slices.Sort(chosen)
	return chosen
}

// small returns a picture's file, or a JPEG of fewer pixels if it is large. That has no EXIF: with orient, the orientation goes
// into the pixels.
func small(path string, orient bool) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxGoldenSource {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("more than 10 MiB")}
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) <= maxGoldenBytes {
		return data, err
	}
	var d decode.Decoder
	picture, err := d.Decode(data, decode.Options{Orient: orient})
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, reduced(picture, max(1, min(picture.Width, picture.Height)/goldenSide)), &jpeg.Options{Quality: goldenQuality}); err != nil {
		return nil, err
	}
	if buf.Len() > maxGoldenBytes {
		return nil, fmt.Errorf("still %d bytes after it was reduced, want at most %d: cut out a part of it", buf.Len(), maxGoldenBytes)
	}
	return buf.Bytes(), nil
}

// reduced returns a picture of which each pixel is the mean of n by n pixels.
func reduced(p decode.RGB, n int) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, p.Width/n, p.Height/n))
	for y := range p.Height / n {
		for x := range p.Width / n {
			var sum [3]int
			for i := range n * n {
				at := (y*n+i/n)*p.Stride + 3*(x*n+i%n)
				for c := range sum {
					sum[c] += int(p.Pix[at+c])
				}
			}
			out.SetRGBA(x, y, color.RGBA{uint8(sum[0] / (n * n)), uint8(sum[1] / (n * n)), uint8(sum[2] / (n * n)), 255})
		}
	}
	return out
}
