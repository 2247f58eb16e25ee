package fit

import (
	"context"
	"math/rand/v2"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Method is a way to find a classifier.
type Method struct {
	Name string
	Fit  func(Set) Linear
}

// Methods are those that are tried on every set. Of equally good ones the first is taken.
func Methods() []Method {
	return []Method{
		{"logistic regression, C = 0.3", func(s Set) Linear { return Logistic(s, 0.3) }},
		{"logistic regression, C = 3", func(s Set) Linear { return Logistic(s, 3) }},
		{"linear discriminant analysis", Discriminant},
	}
}

// MaxFolds is into how many parts a set is split, if each class has as many vectors.
const MaxFolds = 5

// Folds splits a set into parts with about the same number of each class: it returns the part of each vector, and how many
// parts there are, from 2 to MaxFolds. Each class must have 2 vectors, so that one remains to fit with. Equal seeds give equal
// parts.
func Folds(y []int, classes int, seed uint64) (fold []int, folds int) {
	smallest := slices.Min(Set{Y: y, Classes: classes}.Counts())
	folds = min(MaxFolds, max(2, smallest))
	fold = make([]int, len(y))
	next := 0
	for _, members := range shuffled(y, classes, seed) {
		for _, i := range members {
			fold[i] = next % folds
			next++
		}
	}
	return fold, folds
}

// shuffled is the indices of each class in random order.
func shuffled(y []int, classes int, seed uint64) [][]int {
	src := rand.New(rand.NewPCG(seed, 0))
	members := make([][]int, classes)
	for i, class := range y {
		members[class] = append(members[class], i)
	}
	for _, m := range members {
		src.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
	}
	return members
}

// OutOfFold returns the logits of each vector by a classifier that was found without its fold: how it does on vectors that it
// has not seen. With a share below 1 it is found with that share of each class of the others, at least 1 vector. Up to
// parallel folds are computed at a time. An error is ctx's.
func OutOfFold(ctx context.Context, s Set, m Method, fold []int, folds int, share float64, parallel int) ([][]float64, error) {
	logits := make([][]float64, len(s.X))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, parallel))
	for f := range folds {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			l := m.Fit(s.Of(others(s, fold, f, share)))
			for i, x := range s.X {
				if fold[i] == f {
					logits[i] = l.Logits(x)
				}
			}
			return nil
		})
	}
	return logits, g.Wait()
}

// others is the indices outside a fold, a share of each class.
func others(s Set, fold []int, f int, share float64) (indices []int) {
	members := make([][]int, s.Classes)
	for i, y := range s.Y {
		if fold[i] != f {
			members[y] = append(members[y], i)
		}
	}
	for _, m := range members {
		n := min(len(m), max(1, int(share*float64(len(m))+0.5)))
		for i := range n {
			indices = append(indices, m[i*len(m)/n]) // spread over the class
		}
	}
	return indices
}
