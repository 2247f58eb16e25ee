package catalog

import (
	"fmt"
	"math/bits"

	"github.com/resnet18cloud/resnet18cloud/internal/wilson"
)

// Rules say when a new version of a model takes over.
type Rules struct {
	// Share of the requests that are compared, above 0 to 1. Zero means that new versions take over without a
	// comparison.
	Share float64
	// Live makes the new version answer the compared requests. Otherwise the version that serves answers all of them, and
	// the new one classifies in the background.
	Live bool
	// Agreement is the minimum share of pictures with the same best label, 0 to 1. Zero means 0.9.
	Agreement float64
	// Slowdown is how many times as long the new version may take for most pictures. Zero means 1.5.
	Slowdown float64
	// MaxPictures is the number of compared pictures after which a version that has not been shown to agree is rolled
	// back. Zero means 3200.
	MaxPictures int
}

func (r Rules) withDefaults() Rules {
	if r.Agreement == 0 {
		r.Agreement = 0.9
	}
	if r.Slowdown == 0 {
		r.Slowdown = 1.5
	}
	if r.MaxPictures == 0 {
		r.MaxPictures = 3200
	}
	return r
}

// Validate checks all values.
func (r Rules) Validate() error {
	r = r.withDefaults()
	switch {
	case !(r.Share >= 0 && r.Share <= 1):
		return fmt.Errorf("share of requests for new versions is %g, want 0 to 1", r.Share)
	case !(r.Agreement > 0 && r.Agreement < 1):
		return fmt.Errorf("agreement of new versions is %g, want more than 0 and less than 1", r.Agreement)
	case !(r.Slowdown >= 1):
		return fmt.Errorf("slowdown of new versions is %g, want 1 or more", r.Slowdown)
	case r.MaxPictures < firstLook:
		return fmt.Errorf("pictures to compare are %d, want at least %d", r.MaxPictures, firstLook)
	}
	return nil
}

// evidence is what comparing has shown so far.
type evidence struct {
	compared int // pictures that both versions classified
	equal    int // of those, pictures with the same best label
	slower   int // of those, pictures for which the new version took more than Rules.Slowdown times as long
	failed   int // pictures that only the new version could not classify
}

// verdict is the decision about a new version.
type verdict string

const (
	wait     verdict = "wait"
	promote  verdict = "promote"
	rollBack verdict = "roll back"
)

// firstLook is the number of pictures after which the evidence is judged for the first time.
const firstLook = 50

// z is the quantile of the normal distribution for a bound that is wrong once in 200 times. With one look at 50, 100,
// 200, ... 3200 pictures, seven in all, a version whose agreement is exactly the minimum is promoted or rolled back by
// chance in at most 7 of 100 cases; looking after each picture would make that nearly certain.
const z = 2.576

// judge decides about a new version. One failure is too many, because the other version classified the same picture. Apart
// from that it looks whenever the number of pictures has doubled:
//
//	pictures  same label  bounds of the agreement  wanted 0.9
//	50        49          0.850 .. 0.998           wait
//	100       99          0.921 .. 0.999           promote
//	100       80          0.680 .. 0.883           roll back
//
// The bounds are those of package wilson. The new version is too slow if more than half of
// the pictures took it longer than allowed, by the same interval: single delays do not count.
func judge(e evidence, r Rules) (verdict, string) {
	r = r.withDefaults()
	if e.failed > 0 {
		return rollBack, fmt.Sprintf("failed to classify %d pictures that the version in service classified", e.failed)
	}
	last := e.compared >= r.MaxPictures
	if !last && !looks(e.compared) {
		return wait, ""
	}
	low, high := wilson.Bounds(e.equal, e.compared, z)
	labels := fmt.Sprintf("the best label was the same for %d of %d pictures: %.1f to %.1f %%, wanted at least %.1f %%", e.equal, e.compared,
		100*low, 100*high, 100*r.Agreement)
	if slow, _ := wilson.Bounds(e.slower, e.compared, z); slow > 0.5 {
		return rollBack, fmt.Sprintf("took more than %g times as long for %d of %d pictures", r.Slowdown, e.slower, e.compared)
	}
	switch {
	case low >= r.Agreement:
		return promote, labels
	case high < r.Agreement:
		return rollBack, labels
	case last:
		return rollBack, "not decided after " + fmt.Sprint(e.compared) + " pictures: " + labels
	}
	return wait, ""
}

// looks reports whether n is 50, 100, 200 and so on.
func looks(n int) bool {
	return n >= firstLook && n%firstLook == 0 && bits.OnesCount(uint(n/firstLook)) == 1
}
