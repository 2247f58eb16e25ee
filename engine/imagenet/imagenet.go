// Package imagenet turns a network's logits into probabilities and finds the best classes, of any number, and holds the
// labels of the 1000 classes of ImageNet's 2012 challenge. It is the last step of package engine.
package imagenet

import (
	_ "embed"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// Classes is the number of ImageNet's classes; a class is a number from 0 to Classes-1.
const Classes = 1000

//go:embed labels.txt
var labelLines string

var labels = func() [Classes]string {
	lines := strings.Split(strings.TrimSpace(labelLines), "\n")
	if len(lines) != Classes {
		panic(fmt.Sprintf("imagenet: labels.txt has %d lines, want %d", len(lines), Classes))
	}
	return [Classes]string(lines)
}()

// Label returns torchvision's name of a class: the first words of its WordNet synset, made unique where two synsets
// share them ("crane", "crane bird").
func Label(class int) string { return labels[class] }

// Labels returns the names of all classes.
func Labels() []string { return slices.Clone(labels[:]) }

// Top fills top with the classes of the largest logits, best first, and returns as much of it as there are classes. Of
// equal logits the lower class comes first. NaN comes after all numbers.
func Top(logits []float32, top []int) []int {
	n := 0
	for class, x := range logits {
		if n == len(top) {
			if n == 0 || !better(x, logits[top[n-1]]) {
				continue
			}
		} else {
			n++
		}
		at := n - 1
		for ; at > 0 && better(x, logits[top[at-1]]); at-- {
			top[at] = top[at-1]
		}
		top[at] = class
	}
	return top[:n]
}

// better reports whether a goes before b, where b has the smaller class.
func better(a, b float32) bool { return a > b || b != b && a == a } //nolint:gocritic // b != b is NaN

// Verdict returns the class that logits stand for, of which there must be at least one: the best. A single logit stands for one
// class or none, 1 if it is positive and 0 if not.
func Verdict(logits []float32) int {
	if len(logits) == 1 {
		if logits[0] > 0 {
			return 1
		}
		return 0
	}
	var top [1]int
	Top(logits, top[:])
	return top[0]
}

// Softmax writes the probability of each class, exp(x_i) / sum_j exp(x_j), to p, which may be logits itself.
// Subtracting the largest logit first changes nothing but keeps exp from overflowing. Sums are in float64, so each p
// is right to float32's last bit or two. Logits that are not finite give NaN.
func Softmax(p, logits []float32) {
	if len(logits) == 0 {
		return
	}
	largest := slices.Max(logits)
	var room [spec.MaxClasses]float64
	exps, sum := room[:0], 0.0
	for _, x := range logits {
		e := math.Exp(float64(x) - float64(largest))
		exps = append(exps, e)
		sum += e
	}
	for i, e := range exps {
		p[i] = float32(e / sum)
	}
}

// Sigmoid writes the probability of each class by itself, 1 / (1 + exp(-x)), to p, which may be logits itself. A logit
// that is NaN gives NaN.
func Sigmoid(p, logits []float32) {
	for i, x := range logits {
		p[i] = float32(1 / (1 + math.Exp(-float64(x))))
	}
}

// Scores writes what an activation makes of logits to p, which may be logits itself: with [spec.None] the logits.
func Scores(p, logits []float32, a spec.Activation) {
	switch a {
	case spec.Softmax:
		Softmax(p, logits)
	case spec.Sigmoid:
		Sigmoid(p, logits)
	default:
		copy(p, logits)
	}
}
