package onnx

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// graph is the part of a GraphProto that says what is computed.
type graph struct {
	nodes     []*node
	constants map[string]*constant // initializers and Constants
	inputs    []value
	outputs   []string

	files files
	folds map[string]*node         // value: the operator that computes it from constants alone
	alias map[string]string        // value: the one that it equals
	maker map[string]*node         // value: the other operator that computes it
	half  map[string]bool          // values that are in half precision
	read  map[string]tensor.Tensor // constants that were read or computed
	used  int                      // numbers in read
}

// foldable are operators on constants that exporters leave in a graph.
var foldable = []string{
	"Identity", "Cast", "CastLike", "Dropout", "Transpose", "Reshape", "Flatten", "Unsqueeze", "Squeeze",
	"Add", "Sub", "Mul", "Div", "Sqrt", "Reciprocal", "Neg",
}

// link sorts the operators: those that compute constants, those that change nothing, and the others. Operators come
// in the order in which they are computed, as ONNX demands, so that one pass is enough.
func (g *graph) link() {
	g.folds, g.alias, g.maker = map[string]*node{}, map[string]string{}, map[string]*node{}
	g.half, g.read = map[string]bool{}, map[string]tensor.Tensor{}
	for _, n := range g.nodes {
		if len(n.inputs) == 0 || len(n.outputs) == 0 {
			continue
		}
		out := n.outputs[0]
		switch {
		case slices.Contains(foldable, n.op) && g.allConstant(n.inputs):
			g.folds[out] = n
		case g.changesNothing(n):
			g.alias[out] = g.resolve(n.inputs[0])
			if to := n.int("to", 0); n.op == "Cast" && (to == typeHalf || to == typeBfloat16) {
				g.half[out] = true
			}
		default:
			for _, out := range n.outputs {
				g.maker[out] = n
			}
		}
	}
}

func (g *graph) isConstant(name string) bool { return g.constants[name] != nil || g.folds[name] != nil }

func (g *graph) allConstant(names []string) bool {
	for _, name := range names {
		if name != "" && !g.isConstant(name) {
			return false
		}
	}
	return true
}

// source is the constant that a name stands for, if it is only copied or changed in type.
func (g *graph) source(name string) *constant {
	return g.constants[g.behind(name, "Identity", "Cast", "CastLike")]
}

// behind follows operators of the given kinds on constants back to the first input. Broken files have circles of them.
func (g *graph) behind(name string, ops ...string) string {
	for range maxFolds {
		n := g.folds[name]
		if n == nil || !slices.Contains(ops, n.op) {
			return name
		}
		name = n.inputs[0]
	}
	return ""
}

// changesNothing reports whether an operator's output is its first input, up to rounding.
func (g *graph) changesNothing(n *node) bool {
	switch n.op {
	case "Identity", "Dropout", "CastLike":
		return true
	case "Cast":
		return slices.Contains([]int64{typeFloat, typeHalf, typeDouble, typeBfloat16}, n.int("to", 0))
	case "Pad": // older exports have one before an average
		pads, ok := n.ints["pads"]
		if !ok && len(n.inputs) > 1 {
			pads, ok = g.integers(n.inputs[1])
		}
		return ok && !slices.ContainsFunc(pads, func(p int64) bool { return p != 0 })
	}
	return false
}

// resolve is the value that a name stands for.
func (g *graph) resolve(name string) string {
	if to, ok := g.alias[name]; ok {
		return to
	}
	return name
}

// integers are the numbers of a small constant of integers: axes or a shape.
func (g *graph) integers(name string) ([]int64, bool) {
	c := g.constants[g.behind(name, "Identity", "Cast", "Unsqueeze", "Reshape")]
	if c == nil || c.err != nil || c.dtype.IsFloat() {
		return nil, false
	}
	if c.ints != nil {
		return c.ints, true
	}
	n := 1
	for _, d := range c.dims {
		if n *= d; n > maxInts {
			return nil, false
		}
	}
	size := c.dtype.Size()
	if size < 4 || len(c.data) != n*size {
		return nil, false
	}
	ints := make([]int64, n)
	for i := range ints {
		for b := size - 1; b >= 0; b-- {
			ints[i] = ints[i]<<8 | int64(c.data[i*size+b])
		}
		if size == 4 {
			ints[i] = int64(int32(ints[i]))
		}
	}
	return ints, true
}

// users returns which operators read a value, counting only those whose result reaches the output.
func (g *graph) users(output string) map[string][]*node {
	users := map[string][]*node{}
	done := map[*node]bool{}
	todo := []string{g.resolve(output)}
	for len(todo) > 0 {
		n := g.maker[todo[len(todo)-1]]
		todo = todo[:len(todo)-1]
		if n == nil || done[n] {
			continue
		}
		done[n] = true
		for i, in := range n.inputs {
			if in == "" || g.isConstant(in) || n.op == "Reshape" && i > 0 { // a shape is computed from shapes
				continue
			}
			in = g.resolve(in)
			users[in] = append(users[in], n)
			todo = append(todo, in)
		}
	}
	return users
}
