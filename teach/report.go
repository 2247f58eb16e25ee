package teach

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"os"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

//go:embed report.html
var reportText string

// reportTemplate makes the report of a [report]. It escapes every text: names of files and folders are the user's.
var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) },
	"whole":   func(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) },
	"number":  func(x float64) string { return fmt.Sprintf("%.2f", x) },
}).Parse(reportText))

// report is what the template shows.
type report struct {
	*Lesson
	Name, Backbone string
	PerClass       []classRow
	Matrix         bool // whether there are few enough classes for the whole confusion matrix
	Confused       []confusion
	Modes          []modeRow
	TrialModes     []modeRow
	Gallery        []thumbnail
	Pairs          []pairRow
	Chart          template.HTML
}

// classRow is precision and recall of a class: the share of the pictures that got it that are of it, and the share of its
// pictures that got it.
type classRow struct {
	Label             string
	Pictures          int
	Precision, Recall float64
	Given             int // pictures that got it
	Cells             []cell
}

// cell is a count of the confusion matrix. Shade is its share of the class, 0 to 1.
type cell struct {
	Count int
	Shade float64
	Right bool
}

// confusion is two classes that are taken for each other.
type confusion struct {
	Own, Given string
	Count      int
	Share      float64
}

// modeRow is the best accuracy of a way to prepare pictures.
type modeRow struct {
	Candidate
	Chosen bool
}

// thumbnail is a small picture. Source is empty if the file cannot be read any longer.
type thumbnail struct {
	Source template.URL
	Mistake
	Own, Given string
}

// pairRow is two small pictures.
type pairRow struct {
	Pair
	SourceA, SourceB template.URL
}

const (
	maxMatrix  = 30 // classes
	maxGallery = 24 // pictures
	maxListed  = 50 // label suspects
)

// page makes the report: one HTML file without references to others. It reads the pictures that it shows again.
func (l *Lesson) page(root *os.Root, name, backbone string) ([]byte, error) {
	r := report{Lesson: l, Name: name, Backbone: backbone, Matrix: len(l.Classes) <= maxMatrix, Chart: chart(l.Curve)}
	r.PerClass, r.Confused = l.perClass(), l.confused()
	for i, c := range l.Candidates {
		r.Modes = append(r.Modes, modeRow{c, i == best(l.Candidates)})
	}
	for i, c := range l.Trial {
		r.TrialModes = append(r.TrialModes, modeRow{c, i == best(l.Trial)})
	}
	small := newThumbnails(root, l.Chosen.Preprocess)
	for _, m := range l.Mistakes[:min(maxGallery, len(l.Mistakes))] {
		r.Gallery = append(r.Gallery, thumbnail{small.of(m.File), m, l.Classes[m.File.Class], l.Classes[m.Given]})
	}
	for _, p := range l.Duplicates {
		r.Pairs = append(r.Pairs, pairRow{p, small.of(p.A), small.of(p.B)})
	}
	var b bytes.Buffer
	if err := reportTemplate.Execute(&b, r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Unsure lists the pictures whose label is improbable, the first of them.
func (r report) Unsure() []Mistake { return r.Suspects[:min(maxListed, len(r.Suspects))] }

// Label is the name of a class.
func (r report) Label(class int) string { return r.Classes[class] }

// perClass computes precision and recall of each class.
func (l *Lesson) perClass() []classRow {
	rows := make([]classRow, len(l.Classes))
	for k := range rows {
		rows[k] = classRow{Label: l.Classes[k], Pictures: l.Counts[k]}
		for own := range l.Confusion {
			rows[k].Given += l.Confusion[own][k]
		}
		if right := float64(l.Confusion[k][k]); right > 0 {
			rows[k].Precision, rows[k].Recall = right/float64(rows[k].Given), right/float64(l.Counts[k])
		}
		for given, n := range l.Confusion[k] {
			rows[k].Cells = append(rows[k].Cells, cell{n, float64(n) / float64(max(1, l.Counts[k])), given == k})
		}
	}
	return rows
}

// confused lists the classes that are confused most.
func (l *Lesson) confused() (list []confusion) {
	for own, row := range l.Confusion {
		for given, n := range row {
			if given != own && n > 0 {
				list = append(list, confusion{l.Classes[own], l.Classes[given], n, float64(n) / float64(l.Counts[own])})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b confusion) int { return b.Count - a.Count })
	return list[:min(10, len(list))]
}

// thumbnails makes small pictures of files.
type thumbnails struct {
	root    *os.Root
	cropper preprocess.Cropper
	input   preprocess.Input
}

// newThumbnails shows of pictures what the network sees with a preprocessing: the middle, or the whole in a square.
func newThumbnails(root *os.Root, seen spec.Preprocess) *thumbnails {
	p := spec.Torchvision()
	p.Resize, p.Crop, p.Orient, p.Mode = spec.MinSize, spec.MinSize, true, seen.Mode
	return &thumbnails{root: root, cropper: preprocess.Cropper{Spec: p}}
}

// of returns a small picture as a data URL; empty if it cannot be read any longer.
func (t *thumbnails) of(f File) template.URL {
	data, err := read(t.root, f.Path)
	if err != nil || t.cropper.Crop(&t.input, data) != nil {
		return ""
	}
	img := image.NewRGBA(image.Rect(0, 0, spec.MinSize, spec.MinSize))
	for i := range spec.MinSize * spec.MinSize {
		copy(img.Pix[4*i:], t.input[3*i:3*i+3])
		img.Pix[4*i+3] = 255
	}
	var b bytes.Buffer
	if jpeg.Encode(&b, img, &jpeg.Options{Quality: 75}) != nil {
		return ""
	}
	return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes())) //nolint:gosec // of our own making
}

// chart draws the learning curve as SVG: accuracy over pictures of a class.
func chart(points []CurvePoint) template.HTML {
	const width, height, left, bottom = 420.0, 200.0, 44.0, 34.0
	if len(points) < 2 {
		return ""
	}
	most, low := points[len(points)-1].Pictures, 1.0
	for _, p := range points {
		low = min(low, p.Accuracy)
	}
	low = max(0, float64(int(low*10))/10-0.1)
	x := func(pictures float64) float64 { return left + (width-left-12)*pictures/most }
	y := func(accuracy float64) float64 { return 8 + (height-bottom-8)*(1-(accuracy-low)/(1-low)) }
	var b, line strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-label="Learning curve">`, width, height, width, height)
	for _, a := range []float64{low, (1 + low) / 2, 1} {
		fmt.Fprintf(&b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text x="%g" y="%.1f" text-anchor="end">%.0f %%</text>`,
			left, width-12, y(a), y(a), left-6, y(a)+4, 100*a)
	}
	for _, p := range points {
		fmt.Fprintf(&line, "%.1f,%.1f ", x(p.Pictures), y(p.Accuracy))
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3.5"/><text x="%.1f" y="%.1f" text-anchor="middle">%.0f</text>`,
			x(p.Pictures), y(p.Accuracy), x(p.Pictures), height-bottom+18, p.Pictures)
	}
	fmt.Fprintf(&b, `<polyline points="%s"/><text x="%g" y="%g" text-anchor="middle">pictures of each class</text></svg>`,
		strings.TrimSpace(line.String()), (width+left)/2, height-2)
	return template.HTML(b.String()) //nolint:gosec // numbers only
}
