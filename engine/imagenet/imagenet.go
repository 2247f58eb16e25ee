// Package imagenet holds the 1000 classes of ImageNet's 2012 challenge: it turns a network's logits into
// probabilities and the best classes into labels. It is the last step of package engine.
package imagenet

import (
	_ "embed"
	"fmt"
	"math"
	"strings"
)

// Classes is the number of classes; a class is a number from 0 to Classes-1.
const Classes = 1000

// Mean and Deviation of each color, red, green and blue, over ImageNet's training images, by which torchvision's
// weights expect inputs to be normalized: (x/255 - mean) / deviation.
var (
	Mean      = [3]float64{0.485, 0.456, 0.406}
	Deviation = [3]float64{0.229, 0.224, 0.225}
)

// Logits are the network's outputs, one per class: unnormalized log probabilities.
type Logits = [Classes]float32

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

// Top fills top, of at most Classes elements, with the classes of the largest logits, best first. Of equal logits the
// lower class comes first. NaN comes after all numbers.
func Top(logits *Logits, top []int) {
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
}

// better reports whether a goes before b, where b has the smaller class.
func better(a, b float32) bool { return a > b || b != b && a == a } //nolint:gocritic // b != b is NaN

// Softmax writes the probability of each class, exp(x_i) / sum_j exp(x_j), to p, which may be logits itself.
// Subtracting the largest logit first changes nothing but keeps exp from overflowing. Sums are in float64, so each p
// is right to float32's last bit or two. Logits that are not finite give NaN.
func Softmax(p, logits *Logits) {
	largest := logits[0]
	for _, x := range logits {
		largest = max(largest, x)
	}
	var exps [Classes]float64
	sum := 0.0
	for i, x := range logits {
		exps[i] = math.Exp(float64(x) - float64(largest))
		sum += exps[i]
	}
	for i, e := range exps {
		p[i] = float32(e / sum)
	}
}
