package resnet

// activation is the type of one activation of a network.
type activation interface{ float32 | uint8 }

// pass is the memory of one forward pass.
type pass[A activation, V, S number] struct {
	*team
	plan       *plan
	steps      []step[A, V, S]
	stages     [4][2]activations[A]
	workspaces []workspace[A, V, S]
}

// workspace is one worker's own memory.
type workspace[A activation, V, S number] struct {
	input []A       // pixels as the stem reads them, inside a border of zeros
	rows  [][]A     // the stem's last rows of outputs, each after a border pixel of zeros
	v     []V       // transformed input of a Winograd layer's tiles
	sums  []S       // products of a Winograd layer's tiles
	wide  []int8    // weights as kernel8.Set.Widen returns them
	rest  []A       // kernel8.Convolution.Rest
	stem  stemSpace // of a stem in float32 among bytes
}

// needs is how many elements of each part of a workspace a step uses.
type needs struct {
	input, row, ring, v, sums, wide, rest int
	stem                                  stemNeeds
}

func (n needs) max(m needs) needs {
	return needs{max(n.input, m.input), max(n.row, m.row), max(n.ring, m.ring), max(n.v, m.v), max(n.sums, m.sums), max(n.wide, m.wide), max(n.rest, m.rest),
		n.stem.max(m.stem)}
}

func newWorkspace[A activation, V, S number](take func(bytes int) []byte, n needs) workspace[A, V, S] {
	return workspace[A, V, S]{input: numbers[A](take, n.input), rows: newRing[A](take, n.ring, n.row), v: numbers[V](take, n.v),
		sums: numbers[S](take, n.sums), wide: numbers[int8](take, n.wide), rest: numbers[A](take, n.rest), stem: newStemSpace(take, n.stem)}
}

// activations is one buffer: pixels with channels last, inside a border of zeros that is one pixel wide at the top and
// on the left, and wide enough for the last tile at the bottom and on the right. Kernels may read a tail behind it.
type activations[A activation] struct {
	data     []A
	size     int // height and width without border
	side     int // with border
	channels int
}

func newActivations[A activation](take func(bytes int) []byte, size, channels, tile, tail int) activations[A] {
	side := sideOf(size, tile)
	return activations[A]{numbers[A](take, (side*side+tail)*channels), size, side, channels}
}

// sideOf is the height and width of a buffer with its border.
func sideOf(size, tile int) int { return (size+tile-1)/tile*tile + 2 }

// at is where the pixel in row y and column x begins; -1 is in the border.
func (a *activations[A]) at(y, x int) int { return ((y+1)*a.side + x + 1) * a.channels }

func (a *activations[A]) rowStride() int { return a.side * a.channels }

func (p *pass[A, V, S]) buffer(b buffer) *activations[A] { return &p.stages[b.stage][b.which] }

// program is a network's steps, whatever their precision.
type program interface {
	// newPass makes the memory of a pass: new, or that of other runners, whose workspaces serve one worker each.
	newPass(t *team, of []*Runner) execution
}

// execution is a pass, whatever its precision.
type execution interface {
	run(step, worker int)
	show(step int, f func(name string, values []float32))
}

// steps is the program of one precision.
type steps[A activation, V, S number] struct {
	plan *plan
	tile int
	tail func(size int) int
	list []step[A, V, S]
}

func (s *steps[A, V, S]) newPass(t *team, of []*Runner) execution {
	p := &pass[A, V, S]{team: t, plan: s.plan, steps: s.list}
	if len(of) > 0 {
		first := of[0].pass.(*pass[A, V, S])
		p.stages = first.stages
		for _, r := range of {
			p.workspaces = append(p.workspaces, r.pass.(*pass[A, V, S]).workspaces...)
		}
		return p
	}
	total := 0
	s.memory(p, func(bytes int) []byte {
		total += aligned(bytes)
		return nil
	})
	block := arena{newBlock(total)}
	s.memory(p, block.take)
	return p
}

// memory gives a pass its memory. Activations come first, where pages are huge even if what follows fills no page.
func (s *steps[A, V, S]) memory(p *pass[A, V, S], take func(bytes int) []byte) {
	for i := range p.stages {
		for j := range p.stages[i] {
			size := s.plan.size / 4 >> i
			p.stages[i][j] = newActivations[A](take, size, 64<<i, s.tile, s.tail(size))
		}
	}
	p.workspaces = p.workspaces[:0]
	for worker := range p.workers {
		p.workspaces = append(p.workspaces, newWorkspace[A, V, S](take, s.needs(worker)))
	}
}

// needs is the largest of all steps' needs.
func (s *steps[A, V, S]) needs(worker int) (n needs) {
	for _, each := range s.list {
		n = n.max(each.needs(worker))
	}
	return n
}

func (p *pass[A, V, S]) run(step, worker int) { p.steps[step].run(p, worker) }

// show passes what a convolution wrote to an observer, row by row. Bytes are not shown: they mean nothing without
// their scale.
func (p *pass[A, V, S]) show(step int, f func(name string, values []float32)) {
	if step >= len(p.plan.operations) {
		return
	}
	o := p.plan.operations[step]
	a := p.buffer(o.to)
	for y := range a.size {
		if values, ok := any(a.data[a.at(y, 0):][:a.size*a.channels]).([]float32); ok {
			f(o.name, values)
		}
	}
}
