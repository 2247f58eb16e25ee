package teach

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
	"github.com/resnet18cloud/resnet18cloud/model"
	"github.com/resnet18cloud/resnet18cloud/teach/fit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		files   []string
		want    string
		problem string
	}{
		{name: "nested and sorted", files: []string{"b/2.jpg", "b/x/1.PNG", "a/1.webp", ".git/x.jpg", "a/.hidden.jpg", "a/.thumbs/1.jpg", "__MACOSX/a/1.jpg", "a/notes.txt", "README"},
			want: "[a b] [{a/1.webp 0} {b/2.jpg 1} {b/x/1.PNG 1}] 2"},
		{name: "no folders", files: []string{"README"}, problem: "no folders: want one folder for each class"},
		{name: "one folder", files: []string{"a/1.jpg"}, problem: `1 folder, "a"`},
		{name: "empty class", files: []string{"a/1.jpg", "b/notes.txt"}, problem: `folder "b" holds no pictures (.jpg, `},
		{name: "loose files", files: []string{"a/1.jpg", "b/1.jpg", "1.jpg", "2.jpg"}, problem: `2 pictures lie beside the folders of the classes, such as "1.jpg"`},
		{name: "loose files only", files: []string{"1.jpg"}, problem: "1 pictures lie beside"},
	} {
		folder := fstest.MapFS{}
		for _, f := range test.files {
			folder[f] = &fstest.MapFile{}
		}
		p, err := find(folder)
		if test.problem != "" {
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%s: %v, want an error with %q", test.name, err, test.problem)
			}
			continue
		}
		if got := fmt.Sprint(p.Classes, p.Files, p.Others); err != nil || got != test.want {
			t.Errorf("%s: %s, %v, want %s", test.name, got, err, test.want)
		}
	}
	many := fstest.MapFS{}
	for i := range spec.MaxClasses + 1 {
		many[fmt.Sprintf("%d/1.jpg", i)] = &fstest.MapFile{}
	}
	if _, err := find(many); err == nil || !strings.Contains(err.Error(), "at most 2000 classes") {
		t.Errorf("too many classes: %v", err)
	}
}

func TestEnough(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		counts   []int
		warnings int
		problem  string
	}{
		{counts: []int{20, 30}}, {counts: []int{19, 30}, warnings: 1}, {counts: []int{20, 201}, warnings: 1}, {counts: []int{2, 30}, warnings: 2},
		{counts: []int{5, 1}, problem: `class "b" has 1 readable pictures`}, {counts: []int{0, 5}, problem: `class "a" has 0`},
	} {
		warnings, err := enough([]string{"a", "b"}, test.counts)
		if test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)) || test.problem == "" && err != nil || len(warnings) != test.warnings {
			t.Errorf("%v: %q, %v, want %d warnings and %q", test.counts, warnings, err, test.warnings, test.problem)
		}
	}
}

func TestTrial(t *testing.T) {
	t.Parallel()
	var files []File
	for i := range 50 {
		files = append(files, File{fmt.Sprintf("a/%d", i), 0})
	}
	for i := range 7 {
		files = append(files, File{fmt.Sprintf("b/%d", i), 1})
	}
	first, others := trial(files, 2, trialPictures)
	if len(first) != trialPictures+7 || len(others) != 50-trialPictures {
		t.Fatalf("%d and %d pictures, want 27 and 30", len(first), len(others))
	}
	if first[0].Path != "a/0" || first[19].Path < "a/45" || first[20].Path != "b/0" {
		t.Errorf("%v are not spread over the classes", first)
	}
}

// TestTrialEnds checks how many pictures are prepared in both ways: half of the trial's if the whole picture is better for them, else
// all of them, and all pictures of classes that are not larger.
func TestTrialEnds(t *testing.T) {
	t.Parallel()
	const classes = 3
	for _, test := range []struct {
		name          string
		each          int
		crops, unread bool // crops are better; most pictures of the first half cannot be read
		both          int  // pictures of a class that are prepared in both ways
	}{
		{"whole pictures are better", 30, false, false, trialPictures / 2},
		{"crops are better", 30, true, false, trialPictures},
		{"too few to compare", 30, false, true, trialPictures},
		{"no more than the trial has", trialPictures, false, false, trialPictures},
	} {
		p, all := synthetic(classes, test.each, 1)
		if test.crops {
			slices.Reverse(all.By)
		}
		at := map[File]int{}
		for i, f := range all.Files {
			at[f] = i
		}
		both := map[int]int{}
		calls, seen := 0, 0
		own := spec.Torchvision()
		s := study{pictures: p, ways: ways(own), seed: 1, cpus: 1}
		s.observe = func(_ context.Context, files []File, w []spec.Preprocess) (*Features, error) {
			f := &Features{By: make([][][]float32, len(w)), Pixels: make([][][32]byte, len(w))}
			for i, file := range files {
				seen++
				if len(w) == 2 {
					both[file.Class]++
				}
				if test.unread && (calls == 0 && i%10 > 0 || calls > 0 && i == 0) {
					f.Skipped = append(f.Skipped, Skipped{file.Path, "damaged"})
					continue
				}
				f.Files = append(f.Files, file)
				for k := range w {
					from := k
					if len(w) == 1 && w[0] == s.ways[1] {
						from = 1
					}
					f.By[k], f.Pixels[k] = append(f.By[k], all.By[from][at[file]]), append(f.Pixels[k], all.Pixels[from][at[file]])
				}
			}
			calls++
			return f, nil
		}
		l, err := s.run(t.Context())
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for class, n := range both {
			if n != test.both {
				t.Errorf("%s: %d pictures of class %d are prepared in both ways, want %d", test.name, n, class, test.both)
			}
		}
		if seen != classes*test.each || len(l.Files)+len(l.Skipped) != seen {
			t.Errorf("%s: %d pictures observed, %d of %d in the lesson", test.name, seen, len(l.Files), classes*test.each)
		}
		if want := s.ways[1]; (l.Chosen.Preprocess == want) == test.crops || l.Accuracy < 0.9 {
			t.Errorf("%s: %v chosen, accuracy %.2f", test.name, l.Chosen.Preprocess, l.Accuracy)
		}
		if !slices.IsSortedFunc(l.Files, func(a, b File) int { return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Path, b.Path)) }) {
			t.Errorf("%s: the files are not in order", test.name)
		}
		if want := classes * test.both; l.Trial != nil && l.TrialPictures != want && !test.unread {
			t.Errorf("%s: the trial has %d pictures, want %d", test.name, l.TrialPictures, want)
		}
	}
}

// synthetic is features of two ways: classes lie apart in the second way only, unless apart is 0. The pixels of a picture are
// its number.
func synthetic(classes, each int, apart float32) (Pictures, *Features) {
	src := rand.New(rand.NewPCG(5, 5))
	p, f := Pictures{}, &Features{By: make([][][]float32, 2), Pixels: make([][][32]byte, 2)}
	for k := range classes {
		p.Classes = append(p.Classes, fmt.Sprintf("class-%c", 'a'+k))
		for i := range each {
			file := File{fmt.Sprintf("%s/%02d.png", p.Classes[k], i), k}
			p.Files, f.Files = append(p.Files, file), append(f.Files, file)
			for w := range 2 {
				row := make([]float32, spec.Features)
				for j := range row {
					row[j] = 1 + 0.3*float32(src.NormFloat64())
				}
				if w == 1 {
					for j := k * 20; j < k*20+20; j++ {
						row[j] += apart
					}
				}
				f.By[w] = append(f.By[w], row)
				f.Pixels[w] = append(f.Pixels[w], [32]byte{byte(len(f.Files)), byte(len(f.Files) >> 8)})
			}
		}
	}
	return p, f
}

func learned(t *testing.T, p Pictures, f *Features) *Lesson {
	t.Helper()
	l, err := learn(t.Context(), p, f, ways(spec.Torchvision()), 3, 2, true)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLearn checks that the way and the classes that can be told are found.
func TestLearn(t *testing.T) {
	t.Parallel()
	p, f := synthetic(3, 20, 0.6)
	l := learned(t, p, f)
	if l.Chosen.Preprocess.Mode != spec.Squash || len(l.Candidates) != 6 || l.Folds != 5 {
		t.Errorf("chose %v of %d candidates by %d folds", l.Chosen.Preprocess.Mode, len(l.Candidates), l.Folds)
	}
	if l.Accuracy < 0.95 || l.Low > l.Accuracy || l.High < l.Accuracy || l.ExportAccuracy() < 0.95 {
		t.Errorf("accuracy %v (%v to %v), exported %v", l.Accuracy, l.Low, l.High, l.ExportAccuracy())
	}
	if got := fmt.Sprint(l.Counts); got != "[20 20 20]" || len(l.Warnings) != 0 || len(l.Duplicates) != 0 || l.Repeated != 0 {
		t.Errorf("counts %s, warnings %q, duplicates %v", got, l.Warnings, l.Duplicates)
	}
	// 16 are in four folds of five.
	if n := len(l.Curve); n != 4 || l.Curve[n-1].Pictures != 16 || l.Curve[0].Pictures != 2 {
		t.Errorf("learning curve %v", l.Curve)
	}
	if l.UnknownShare > unknownShare || l.Threshold <= 0 || l.known.Shape[0] != 60 {
		t.Errorf("unknown: share %v, threshold %v, %v", l.UnknownShare, l.Threshold, l.known.Shape)
	}
	m := l.describe()
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	// What is served: features of the length that the description says, and logits divided by the temperature.
	set := fit.Set{Y: f.classes(), Classes: 3}
	for _, row := range f.By[1] {
		set.X = append(set.X, fit.Normalize(row, featureLength))
	}
	served, bare := l.head.Logits(fit.Normalize(f.By[1][0], float64(m.Head.Normalize))), l.Chosen.method.Fit(set).Logits(set.X[0])
	for k := range served {
		if want := bare[k] / l.Temperature; math.Abs(served[k]-want) > 1e-6 {
			t.Errorf("logit %d is %v, want %v", k, served[k], want)
		}
	}
}

// TestLearnChance checks that classes that cannot be told give chance, and a warning.
func TestLearnChance(t *testing.T) {
	t.Parallel()
	p, f := synthetic(2, 30, 0)
	l := learned(t, p, f)
	if l.Accuracy > 0.75 || !slices.ContainsFunc(l.Warnings, func(w string) bool { return strings.Contains(w, "not clearly above") }) {
		t.Errorf("accuracy %v, warnings %q", l.Accuracy, l.Warnings)
	}
}

// TestLearnFindsMistakes checks that a wrong label is suspected, and that pictures in two classes and repeated ones are found.
func TestLearnFindsMistakes(t *testing.T) {
	t.Parallel()
	p, f := synthetic(3, 20, 0.6)
	for w := range 2 {
		f.By[w][5] = slices.Clone(f.By[w][25]) // of class b, filed under a
		for j := range f.By[w][5] {
			f.By[w][5][j] += 0.05 * f.By[w][30][j]
		}
		f.By[w][41], f.Pixels[w][41] = f.By[w][2], f.Pixels[w][2]   // of class a, in c too
		f.By[w][59], f.Pixels[w][59] = f.By[w][58], f.Pixels[w][58] // twice in c
	}
	l := learned(t, p, f)
	if len(l.Suspects) == 0 || !slices.ContainsFunc(l.Suspects, func(m Mistake) bool { return m.File == f.Files[5] && m.Given == 1 && m.Own < suspicious }) {
		t.Errorf("suspects %v, want %v among them", l.Suspects, f.Files[5])
	}
	if d := l.Duplicates; len(d) == 0 || d[0].A != f.Files[2] || d[0].B != f.Files[41] || !d[0].Equal {
		t.Errorf("duplicates %v, want %v and %v first", d, f.Files[2], f.Files[41])
	}
	if i := slices.IndexFunc(l.Duplicates, func(d Pair) bool { return d.A == f.Files[5] && d.B == f.Files[25] }); i < 0 || l.Duplicates[i].Equal {
		t.Errorf("duplicates %v, want a suspicion of %v and %v", l.Duplicates, f.Files[5], f.Files[25])
	}
	if l.Repeated != 1 {
		t.Errorf("%d repeated pictures, want 1", l.Repeated)
	}
	if !slices.IsSortedFunc(l.Mistakes, func(a, b Mistake) int { return int(1e6 * (b.Probability - a.Probability)) }) {
		t.Errorf("mistakes %v, want the surest first", l.Mistakes)
	}
}

// TestKnownIsBounded checks that large classes leave room for others.
func TestKnownIsBounded(t *testing.T) {
	t.Parallel()
	l := &Lesson{Classes: make([]string, 50)}
	rows, y := [][]float32{}, []int{}
	for i := range 300 {
		row := make([]float32, spec.Features)
		row[i] = 1
		rows, y = append(rows, row), append(y, min(i/2, 49))
	}
	if err := l.learnUnknown(rows, y); err != nil {
		t.Fatal(err)
	}
	if want := 49*2 + spec.MaxKnown/50; l.known.Shape[0] != want || len(l.known.Data) != want*spec.Features {
		t.Errorf("kept %v, want %d", l.known.Shape, want)
	}
}

// TestPageEscapes checks that names cannot become parts of the report, and that it refers to nothing outside.
func TestPageEscapes(t *testing.T) {
	t.Parallel()
	p, f := synthetic(2, 6, 0)
	const evil = `<script>alert("x")</script>`
	p.Classes[0] = evil
	for i := range f.Files {
		f.Files[i].Path = evil + f.Files[i].Path
	}
	l := learned(t, p, f)
	l.Skipped = []Skipped{{evil, evil}}
	l.Warnings = append(l.Warnings, evil)
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	page, err := l.page(root, evil, evil)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, banned := range []string{"<script", "http:", "https:", "ZgotmplZ", "<no value>", "src=\"/"} {
		if strings.Contains(text, banned) {
			t.Errorf("the report has %q", banned)
		}
	}
	for _, want := range []string{"&lt;script&gt;", "Worst mistakes", "Learning curve", "<polyline", "linear discriminant analysis", "could not be read", "rgb(var(--good) / "} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q", want)
		}
	}
}

// stripes is a picture of one color with noise, of a size that is not square.
func stripes(t *testing.T, path string, c color.RGBA, seed uint64) {
	t.Helper()
	src := rand.New(rand.NewPCG(seed, 9))
	img := image.NewRGBA(image.Rect(0, 0, 60, 40))
	for y := range 40 {
		for x := range 60 {
			n := uint8(src.IntN(60))
			img.SetRGBA(x, y, color.RGBA{c.R + n, c.G + n, c.B + n, 255})
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(file, img), file.Close()); err != nil {
		t.Fatal(err)
	}
}

// backbone writes a network with random weights and no classes.
func backbone(t *testing.T) string {
	t.Helper()
	src := rand.New(rand.NewPCG(1, 1))
	tensors := map[string]tensor.Tensor{}
	conv := func(name string, out, in, kernel int) {
		w := tensor.New(out, in, kernel, kernel)
		for i := range w.Data {
			w.Data[i] = float32(src.Float64()-0.5) * 2.4 / float32(kernel) / float32(in) * 8
		}
		tensors[name+".weight"], tensors[name+".bias"] = w, tensor.New(out)
	}
	conv("conv1", 64, 3, 7)
	in := 64
	for layer := range 4 {
		out := 64 << layer
		for block := range 2 {
			name := fmt.Sprintf("layer%d.%d.", layer+1, block)
			conv(name+"conv1", out, in, 3)
			conv(name+"conv2", out, out, 3)
			if in != out {
				conv(name+"downsample.0", out, in, 1)
			}
			in = out
		}
	}
	path := filepath.Join(t.TempDir(), "backbone.safetensors")
	if err := model.Save(path, &safetensors.Content{Tensors: tensors}); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTeach goes all the way: folders, a model, the same bytes again, and answers of an engine.
func TestTeach(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir, out := t.TempDir(), t.TempDir()
	for i := range 4 {
		stripes(t, filepath.Join(dir, "blue", fmt.Sprintf("%d.png", i)), color.RGBA{0, 0, 180, 0}, uint64(i))
		stripes(t, filepath.Join(dir, "red", "more", fmt.Sprintf("%d.png", i)), color.RGBA{180, 0, 0, 0}, uint64(10+i))
	}
	if err := os.WriteFile(filepath.Join(dir, "red", "broken.jpg"), []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret.png")
	stripes(t, secret, color.RGBA{1, 2, 3, 0}, 99)
	if err := os.Symlink(secret, filepath.Join(dir, "blue", "outside.png")); err != nil {
		t.Fatal(err)
	}
	c := Config{Dir: dir, Model: backbone(t), Options: model.Options{Preprocess: "crop=128,resize=128"}, Out: filepath.Join(out, "colors.safetensors"),
		Report: filepath.Join(out, "colors.html"), Export: filepath.Join(out, "colors.pth"), Seed: 1, Concurrency: 2}
	calls := 0
	c.Progress = func(done, total int) {
		if calls++; done != calls || total != 10 {
			t.Errorf("progress %d of %d in call %d", done, total, calls)
		}
	}
	l, err := Teach(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if l.Accuracy != 1 || calls != 10 || len(l.Files) != 8 || len(l.Skipped) != 2 || l.Skipped[0].Path != "blue/outside.png" || l.Skipped[1].Path != "red/broken.jpg" {
		t.Errorf("accuracy %v after %d calls, %d files, skipped %v", l.Accuracy, calls, len(l.Files), l.Skipped)
	}
	first := map[string][]byte{}
	for _, path := range []string{c.Out, c.Report, c.Export, LabelsBeside(c.Export)} {
		if first[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	checkServed(t, c.Out, filepath.Join(dir, "red", "more", "1.png"), "red", true)
	checkServed(t, c.Export, filepath.Join(dir, "blue", "1.png"), "class 0", false)
	if labels, err := describe.Labels(first[filepath.Join(out, "colors.labels.json")]); err != nil || !slices.Equal(labels, []string{"blue", "red"}) {
		t.Errorf("labels of the exported checkpoint: %q, %v", labels, err)
	}

	c.Concurrency, c.Progress = 1, nil
	if _, err := Teach(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for path, want := range first {
		if got, err := os.ReadFile(path); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s differs the second time: %v", filepath.Base(path), err)
		}
	}

	// A taught model can teach another, which replaces its head.
	again := c
	again.Model, again.Options, again.Out, again.Export, again.Seed = c.Out, model.Options{}, filepath.Join(out, "again.safetensors"), "", 2
	if _, err := Teach(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	checkServed(t, again.Out, filepath.Join(dir, "blue", "2.png"), "blue", true)

	again.Name = "a b"
	if _, err := Teach(t.Context(), again); err == nil || !strings.Contains(err.Error(), "want up to 64 letters") {
		t.Errorf("name %q: %v", again.Name, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Out = filepath.Join(out, "never")
	if _, err := Teach(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
	if _, err := os.Stat(c.Out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("wrote a model after an error: %v", err)
	}
}

// describeAs is what a user says of a model: nothing of a taught one, and the preprocessing of an exported one.
func describeAs(taught bool) describe.Options {
	if taught {
		return describe.Options{}
	}
	return describe.Options{Preprocess: "mode=squash,crop=128,resize=128"}
}

// checkServed classifies a picture with a model.
func checkServed(t *testing.T, path, picture, label string, tells bool) {
	t.Helper()
	set, err := weights.LoadAs(path, describeAs(tells))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	e, err := engine.New(engine.Config{Weights: set, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	data, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Classify(t.Context(), resnet18cloud.Image{Name: "x", Bytes: data})
	if err != nil {
		t.Fatal(err)
	}
	if r.Predictions[0] != label || r.Unknown || tells != (r.UnknownScore != nil) || *r.Scores[0].Probability < 0.5 {
		t.Errorf("%s: %+v, want %s", filepath.Base(path), r, label)
	}
	if !tells {
		return
	}
	// Green is not among the classes.
	green := filepath.Join(t.TempDir(), "green.png")
	stripes(t, green, color.RGBA{0, 200, 0, 0}, 7)
	if data, err = os.ReadFile(green); err != nil {
		t.Fatal(err)
	}
	if r, err = e.Classify(t.Context(), resnet18cloud.Image{Name: "x", Bytes: data}); err != nil || !r.Unknown || *r.UnknownScore <= set.Spec.Head.Unknown.Threshold {
		t.Errorf("a green picture: %+v, %v, want it unknown", r, err)
	}
}

// TestHonestChoice checks that the pictures of a fold are classified by the candidate that is best on the others, and not by one
// that is best because of them.
func TestHonestChoice(t *testing.T) {
	t.Parallel()
	s := &split{sets: []fit.Set{{Y: []int{0, 1, 0, 1}, Classes: 2}}, fold: []int{0, 0, 1, 1}, folds: 2}
	good := func(class int, by float64) []float64 {
		z := []float64{0, 0}
		z[class] = by
		return z
	}
	// The first is nearly right in fold 0 and quite wrong in fold 1; the second is right in fold 1 only, and better in all.
	first := Candidate{Temperature: 2, logits: [][]float64{good(0, 8), good(1, 8), good(1, 6), good(0, 6)}}
	second := Candidate{Temperature: 4, logits: [][]float64{good(0, 1), good(1, 1), good(0, 4), good(1, 4)}}
	for _, c := range []*Candidate{&first, &second} {
		c.losses = fit.Losses(c.logits, s.sets[0].Y, 1)
	}
	got := s.honest([]Candidate{first, second})
	want := [][]float64{{0.25, 0}, {0, 0.25}, {0, 3}, {3, 0}}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("picture %d of fold %d: %v, want %v", i, s.fold[i], got[i], want[i])
		}
	}
}

// TestChoose checks that the way with the whole picture is taken unless another one is clearly better, and of a way the least loss.
func TestChoose(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		crop []float64 // losses; those of squash are 1, 1, 1, 1, and of a worse method 2
		all  bool
		want int
	}{
		{"worse", []float64{2, 2, 2, 2}, true, 2},
		{"equal", []float64{1, 1, 1, 1}, true, 2},
		{"better by chance", []float64{0, 1.5, 0.5, 1.5}, true, 2},
		{"better, though not everywhere", []float64{0.4, 0.9, 0.4, 1.1}, true, 0}, // by 0.3 ± 0.18
		{"better on the first two only", []float64{0.5, 0.5, 9, 9}, false, 0},
	} {
		all := []Candidate{{losses: test.crop}, {way: 1, losses: []float64{2, 2, 2, 2}}, {way: 1, losses: []float64{1, 1, 1, 1}}}
		if got := choose(all, func(i int) bool { return test.all || i < 2 }); got != test.want {
			t.Errorf("%s: chose %d, want %d", test.name, got, test.want)
		}
	}
}

// TestThumbnails checks that small pictures show what the network sees: the edges only if it sees the whole.
func TestThumbnails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	img := image.NewRGBA(image.Rect(0, 0, 300, 100))
	for y := range 100 {
		for x := range 300 {
			if x < 60 || x >= 240 {
				img.SetRGBA(x, y, color.RGBA{255, 0, 0, 255})
			} else {
				img.SetRGBA(x, y, color.RGBA{0, 0, 255, 255})
			}
		}
	}
	var b bytes.Buffer
	if err := errors.Join(png.Encode(&b, img), os.WriteFile(filepath.Join(dir, "x.png"), b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for i, way := range ways(spec.Torchvision()) {
		source, ok := strings.CutPrefix(string(newThumbnails(root, way).of(File{Path: "x.png"})), "data:image/jpeg;base64,")
		data, err := base64.StdEncoding.DecodeString(source)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		small, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if red, _, blue, _ := small.At(4, 64).RGBA(); (red > blue) != (i == 1) {
			t.Errorf("with %v the edge is red %d, blue %d", way.Mode, red>>8, blue>>8)
		}
	}
}

// TestWays checks that pictures are turned as people see them, and that squashing is tried unless the network does it anyway.
func TestWays(t *testing.T) {
	t.Parallel()
	own := spec.Torchvision()
	turned, squash := own, own
	turned.Orient = true
	squash.Orient, squash.Mode, squash.Resize = true, spec.Squash, own.Crop
	if got := ways(own); !slices.Equal(got, []spec.Preprocess{turned, squash}) {
		t.Errorf("ways of torchvision's are %v", got)
	}
	if got := ways(squash); !slices.Equal(got, []spec.Preprocess{squash}) {
		t.Errorf("ways of squashed pictures are %v", got)
	}
}
