package recognize

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// chain is fully connected layers in the order of their computation, with the batch norms between them.
type chain struct {
	*finding
	linears []module
	norms   [][]module // norms[i] stand before linears[i], the last ones after all
	remarks []string
}

// maxLayers is more layers than heads have; it bounds the search for their order.
const maxLayers = 6

// chain puts a head's modules in order. The names' order counts where the sizes agree with it, since state_dict's own order is
// lost; else the only order in which each layer takes what the one before gives.
func (f *finding) chain(modules []module) (chain, error) {
	c := chain{finding: f}
	var norms []module
	for _, m := range modules {
		if m.norm {
			norms = append(norms, m)
		} else {
			c.linears = append(c.linears, m)
		}
	}
	if len(c.linears) == 0 && len(norms) > 0 {
		return c, fmt.Errorf("after the last convolution there is the batch norm %s but no fully connected layer: such a head is not "+
			"served; fold it into a layer, or leave it out of the state_dict()", norms[0].name)
	}
	if len(c.linears) > maxLayers {
		return c, fmt.Errorf("there are %d fully connected layers, want at most %d: %s", len(c.linears), maxLayers, otherwise)
	}
	if !ordered(c.linears) {
		if err := c.sort(); err != nil {
			return c, err
		}
	}
	c.norms = make([][]module, len(c.linears)+1)
	for _, n := range norms {
		at, err := c.positionOf(n)
		if err != nil {
			return c, err
		}
		c.norms[at] = append(c.norms[at], n)
	}
	return c, nil
}

// ordered reports whether layers continue each other from the features on.
func ordered(linears []module) bool {
	for i, l := range linears {
		if i == 0 && l.in != spec.Features && l.in != 2*spec.Features || i > 0 && l.in != linears[i-1].out {
			return false
		}
	}
	return true
}

// sort finds the order by the sizes.
func (c *chain) sort() error {
	var found [][]module
	var extend func(done, left []module)
	extend = func(done, left []module) {
		if len(left) == 0 {
			found = append(found, slices.Clone(done))
		}
		for i := range left {
			if next := append(slices.Clip(done), left[i]); ordered(next) {
				extend(next, slices.Delete(slices.Clone(left), i, i+1))
			}
		}
	}
	extend(nil, c.linears)
	if len(found) == 1 {
		c.linears = found[0]
		return nil
	}
	// A classifier outside of the backbone's module replaces the fc inside, which the training code did not remove.
	for i, l := range c.linears {
		if l.name == c.prefix+"fc" && c.prefix != "" && len(c.linears) > 1 {
			rest := slices.Delete(slices.Clone(c.linears), i, i+1)
			if ordered(rest) {
				c.linears = rest
				c.remarks = append(c.remarks, fmt.Sprintf("%s does not fit before %s and is left out", l.name, rest[0].name))
				return nil
			}
		}
	}
	return c.disordered(len(found))
}

// disordered is the error for layers that do not follow each other.
func (c *chain) disordered(orders int) error {
	first := 0
	var sizes []string
	for _, l := range c.linears {
		if l.in == spec.Features || l.in == 2*spec.Features {
			first++
		}
		sizes = append(sizes, fmt.Sprintf("%s from %d to %d", l.name, l.in, l.out))
	}
	list := strings.Join(sizes, ", ")
	switch {
	case first == 0:
		return fmt.Errorf("no fully connected layer takes the %d features of ResNet-18 (%s): pooling other than the average, or several "+
			"models in one, is not served", spec.Features, list)
	case orders > 1:
		return fmt.Errorf("the order of the fully connected layers cannot be told from their names and sizes (%s): name them fc.0, fc.2 and so on", list)
	}
	return fmt.Errorf("the fully connected layers do not follow each other (%s): a model of several heads is not served; save one head", list)
}

// positionOf returns before which layer a batch norm stands: by its name's place among the layers', for named ones (bn1 after
// fc1) by the number in their names, where its size fits.
func (c *chain) positionOf(n module) (int, error) {
	fits := func(at int) bool {
		return at < len(c.linears) && c.linears[at].in == n.in || at == len(c.linears) && c.linears[at-1].out == n.in
	}
	_, index := split(n.name)
	_, err := strconv.Atoi(index)
	if number := trailing(n.name); err != nil && number != "" {
		for i, l := range c.linears {
			if trailing(l.name) == number && fits(i+1) && c.linears[i].out == n.in {
				return i + 1, nil
			}
		}
	}
	at := 0
	for at < len(c.linears) && natural(c.linears[at].name, n.name) < 0 {
		at++
	}
	if fits(at) {
		return at, nil
	}
	var all []int
	for i := range len(c.linears) + 1 {
		if fits(i) {
			all = append(all, i)
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return 0, fmt.Errorf("the place of the batch norm %s with %d channels among the fully connected layers cannot be told", n.name, n.in)
}

// contrastive reports whether the layers are those of SimCLR's projection, 512 to 512 to 128: a classifier would be free to
// have another size.
func (c *chain) contrastive() bool {
	return len(c.linears) == 2 && c.linears[0].in == spec.Features && c.linears[0].out == spec.Features && c.linears[1].out == 128
}

func (c *chain) layerNames() (names []string) {
	for _, l := range c.linears {
		names = append(names, l.name)
	}
	return names
}

// build makes the result's layers of a chain.
func (c *chain) build(r *Result) error {
	layers := make([]*layer, len(c.linears))
	for i, l := range c.linears {
		layers[i] = newLayer(l)
	}
	last := layers[len(layers)-1]
	r.Head.Classes = last.out
	if last.out > spec.MaxClasses {
		return fmt.Errorf("%s has %d classes, want at most %d", c.linears[len(layers)-1].name, last.out, spec.MaxClasses)
	}
	r.Head.ReLU = make([]bool, len(layers))
	c.pool(r, layers[0])
	for i, norms := range c.norms {
		if len(norms) > 1 {
			return fmt.Errorf("the batch norms %s and %s stand directly after each other, or their places cannot be told", norms[0].name, norms[1].name)
		}
		switch {
		case i == 0 || i == len(layers):
			for _, n := range norms {
				layers[min(i, len(layers)-1)].fold(n, i == 0)
			}
		default:
			relu, note, err := c.between(i, norms, layers)
			if err != nil {
				return err
			}
			r.Head.ReLU[i-1] = relu
			if note != "" {
				r.Notes = append(r.Notes, note)
			}
		}
	}
	for i, l := range layers {
		l.put(r.Tensors, spec.LayerName(i, len(layers)))
	}
	return nil
}

// fastai reports whether the head is one that fastai's vision_learner makes: module 1 beside the body, module 0.
func (c *chain) fastai() bool {
	return c.scheme.name == "nn.Sequential" && strings.HasSuffix(c.prefix, "0.") &&
		strings.HasPrefix(c.linears[0].name, strings.TrimSuffix(c.prefix, "0.")+"1.")
}

// pool sets the pooling, which leaves no tensors: 512 inputs are the average, 1024 the maximum and the average. timm
// ("catavgmax") has the average first.
func (c *chain) pool(r *Result, first *layer) {
	if first.in != 2*spec.Features {
		return
	}
	r.Head.Pool = spec.MaxAverage
	switch {
	case c.fastai():
	case len(c.linears) == 1 && c.linears[0].name == c.prefix+"fc":
		first.swap = true
		r.Notes = append(r.Notes, "fc has 1024 inputs: taken for the average, then the maximum of each channel, as timm's catavgmax")
	default:
		r.Notes = append(r.Notes, c.linears[0].name+" has 1024 inputs: taken for the maximum, then the average of each channel, as fastai's AdaptiveConcatPool2d")
	}
}

// between folds the batch norm between layers i-1 and i into one of them, and tells whether there is ReLU. Activations leave no
// tensors, but in an nn.Sequential the modules are numbered: where two numbers follow each other, nothing is between. What is
// free there is assumed to be ReLU, and dropout beside it.
//
//	Linear 0, ReLU 1, Dropout 2, Linear 3        free: ReLU
//	Linear 0, BatchNorm 1, ReLU 2, Linear 3      not free before the norm: it scales the first layer's outputs
//	Linear 4, ReLU 5, BatchNorm 6, Linear 8      free before the norm: it scales the second layer's inputs (fastai)
func (c *chain) between(i int, norms []module, layers []*layer) (relu bool, note string, err error) {
	a, b := c.linears[i-1].name, c.linears[i].name
	relu, known, err := c.activation(a, b)
	if err != nil {
		return false, "", err
	}
	if !known {
		relu, note = true, fmt.Sprintf("ReLU is assumed between %s and %s: the file does not say", a, b)
	}
	if len(norms) == 0 {
		if free, numbered := room(a, b); numbered && free == 0 {
			return false, "", nil
		}
		return relu, note, nil
	}
	n := norms[0]
	before, numbered := room(a, n.name)
	after, alike := room(n.name, b)
	first := before > 0 // whether the activation, if there is one, is before the norm
	if known && relu && numbered && alike {
		if first, _, err = c.activation(a, n.name); err != nil {
			return false, "", err
		}
	}
	switch {
	case numbered && alike && first:
		layers[i].fold(n, true)
		if c.fastai() {
			note = ""
		}
		return relu, note, nil
	case numbered && alike && after == 0:
		layers[i-1].fold(n, false)
		return false, "", nil
	}
	layers[i-1].fold(n, false)
	return relu, note, nil
}

// room returns how many modules are between two of one nn.Sequential, and whether they are of one. b may be inside of another
// one, and a may be the last layer of a network: after 0.fc come 1, 2 and so on, or 1.0.
func room(a, b string) (free int, numbered bool) {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	i := 0
	for i < min(len(x), len(y)) && x[i] == y[i] {
		i++
	}
	if i == len(x) || i == len(y) || i+1 < len(x) && (i+2 < len(x) || x[i+1] != "fc") {
		return 0, false
	}
	from, err := strconv.Atoi(x[i])
	if err != nil {
		return 0, false
	}
	free = -from - 1
	for _, part := range y[i:] {
		n, err := strconv.Atoi(part)
		if err != nil {
			return 0, false
		}
		free += n
	}
	return free, free >= 0
}

// split divides a name at its last dot.
func split(name string) (parent, leaf string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// trailing returns the digits at a name's end.
func trailing(name string) string { return name[len(strings.TrimRight(name, "0123456789")):] }

var number = regexp.MustCompile(`\d+|\D+`)

// natural compares names with the numbers in them as numbers: fc.2 is before fc.10.
func natural(a, b string) int {
	x, y := number.FindAllString(a, -1), number.FindAllString(b, -1)
	for i := range min(len(x), len(y)) {
		m, errM := strconv.Atoi(x[i])
		n, errN := strconv.Atoi(y[i])
		order := strings.Compare(x[i], y[i])
		if errors.Join(errM, errN) == nil {
			order = cmp.Or(cmp.Compare(m, n), order)
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(x), len(y))
}

func elements(shape []int) int {
	n, err := raw.Elements(shape)
	if err != nil {
		return -1
	}
	return n
}
