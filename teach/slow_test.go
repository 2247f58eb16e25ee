//go:build slow

package teach

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/novelty"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/teach/fit"
)

// photoSets are small sets of photos, with the accuracy on other photos that heads of n pictures a class reach, in percent,
// mean of five splits of the whole sets, of which these are parts, by another implementation.
var photoSets = []struct {
	name string
	want map[int]float64
}{
	{"aliens", map[int]float64{5: 70.2, 10: 74.7, 20: 80.8}},
	{"cookies", map[int]float64{5: 92.8, 10: 94.2, 20: 99.1}},
	{"signs", map[int]float64{5: 70.4, 10: 81.3, 20: 87.6}},
	{"trash", map[int]float64{5: 55.1, 10: 64.8, 20: 69.2}},
}

// TestPhotos teaches on n photos a class and compares accuracy, its estimate, and unknown photos with what is known of these
// sets. The wanted figures are of five other splits, and splits differ by several points: a cell fails if it is worse by a point
// more than two standard errors of the difference explain.
func TestPhotos(t *testing.T) {
	t.Parallel()
	set, err := weights.Load(testutil.Shared(t, "models", "resnet18-ktb.pth"))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	network, err := networkOf(set)
	if err != nil {
		t.Fatal(err)
	}
	ways := ways(set.Spec.Preprocess)
	see := func(dir string, files []File) *Features {
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		f, err := observe(t.Context(), network, root, files, ways, 0, func(int, int) {})
		if err != nil || len(f.Skipped) > 0 {
			t.Fatal(err, f.Skipped)
		}
		return f
	}
	foreign := foreignPhotos(t, see)
	var differences, offs []float64
	for _, photos := range photoSets {
		dir := testutil.Shared(t, "own", "photos", photos.name)
		p, err := find(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		all := see(dir, p.Files)
		for _, n := range []int{5, 10, 20} {
			seeds := 5
			if len(p.Classes) == 2 {
				seeds = 20 // they are fast, and scatter most
			}
			var accuracies, errors []float64
			auroc := 0.0
			for seed := range uint64(seeds) {
				train, test := splitOf(all.classes(), len(p.Classes), n, seed)
				l, err := learn(context.Background(), p, part(all, train), ways, seed, 0, false)
				if err != nil {
					t.Fatal(err)
				}
				a := accuracyOf(l, all, test)
				accuracies, errors = append(accuracies, 100*a), append(errors, 100*(l.Accuracy-a))
				auroc += aurocOf(t, l, all, test, foreign) / float64(seeds)
			}
			want := photos.want[n]
			accuracy, deviation := fit.Mean(accuracies)
			off, offDeviation := fit.Mean(errors)
			t.Logf("%s, %d a class, %d splits: accuracy %.1f ± %.1f (want %.1f), own estimate %+.1f ± %.1f off, AUROC of unknown %.3f",
				photos.name, n, seeds, accuracy, deviation, want, off, offDeviation, auroc)
			differences = append(differences, accuracy-want)
			// Their five splits scatter as ours do.
			if allowed := 1 + 2*deviation*math.Sqrt(1+float64(seeds)/5); accuracy < want-allowed {
				t.Errorf("%s, %d a class: accuracy %.1f, want %.1f or at most %.1f less", photos.name, n, accuracy, want, allowed)
			}
			if n >= 20 {
				offs = append(offs, off)
				if math.Abs(off) > 3+2*offDeviation {
					t.Errorf("%s, %d a class: the estimate is %+.1f ± %.1f off, want at most 3", photos.name, n, off, offDeviation)
				}
			}
			if n >= 20 && auroc < 0.97 {
				t.Errorf("%s, %d a class: AUROC of unknown photos %.3f, want at least 0.97", photos.name, n, auroc)
			}
		}
	}
	if off, _ := fit.Mean(offs); math.Abs(off) > 3 {
		t.Errorf("estimates are %+.1f off on average, want at most 3", off)
	}
	mean, _ := fit.Mean(differences)
	t.Logf("accuracies differ by %+.2f points on average", mean)
	if mean < -1 {
		t.Errorf("accuracies differ by %.2f points on average, want at most 1 less", mean)
	}
}

// foreignPhotos is the features of photos of many other things.
func foreignPhotos(t *testing.T, see func(string, []File) *Features) *Features {
	t.Helper()
	dir := testutil.Shared(t, "images", "imagenet-sample")
	names, err := filepath.Glob(filepath.Join(dir, "*.JPEG"))
	if err != nil {
		t.Fatal(err)
	}
	var files []File
	for i := 0; i < len(names); i += 5 {
		files = append(files, File{Path: filepath.Base(names[i])})
	}
	return see(dir, files)
}

// splitOf is n random pictures of each class, and the others.
func splitOf(y []int, classes, n int, seed uint64) (train, test []int) {
	src := rand.New(rand.NewPCG(seed, 7))
	members := make([][]int, classes)
	for i, k := range y {
		members[k] = append(members[k], i)
	}
	for _, m := range members {
		src.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
		train, test = append(train, m[:n]...), append(test, m[n:]...)
	}
	return train, test
}

// part is some of the pictures.
func part(f *Features, indices []int) *Features {
	p := &Features{By: make([][][]float32, len(f.By)), Pixels: slices.Clone(f.Pixels)}
	for w := range f.Pixels {
		p.Pixels[w] = nil
	}
	for _, i := range indices {
		p.Files = append(p.Files, f.Files[i])
		for w := range f.By {
			p.By[w], p.Pixels[w] = append(p.By[w], f.By[w][i]), append(p.Pixels[w], f.Pixels[w][i])
		}
	}
	return p
}

func accuracyOf(l *Lesson, f *Features, test []int) float64 {
	right := 0
	for _, i := range test {
		if fit.Best(l.head.Logits(fit.Normalize(f.By[l.Chosen.way][i], featureLength))) == f.Files[i].Class {
			right++
		}
	}
	return float64(right) / float64(len(test))
}

// aurocOf is the probability that a foreign photo is farther from what is known than a photo of the classes.
func aurocOf(t *testing.T, l *Lesson, f *Features, test []int, foreign *Features) float64 {
	t.Helper()
	known, err := novelty.New(l.known, l.Neighbors)
	if err != nil {
		t.Fatal(err)
	}
	var own []float32
	for _, i := range test {
		own = append(own, known.Distance(f.By[l.Chosen.way][i]))
	}
	above := 0.0
	for _, row := range foreign.By[l.Chosen.way] {
		d := known.Distance(row)
		for _, o := range own {
			if d > o {
				above++
			}
		}
	}
	if l.known.Shape[1] != spec.Features {
		t.Fatalf("known features have shape %v", l.known.Shape)
	}
	return above / float64(len(own)*len(foreign.Files))
}
