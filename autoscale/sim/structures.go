package sim

// heap holds the busy replicas, the one that finishes first on top. It is a binary heap in two slices: the interface
// calls of container/heap would take half of the simulation's time.
type heap struct {
	at []nanos
	id []int32
	n  int
}

// next is when the first one finishes.
func (h *heap) next() nanos {
	if h.n == 0 {
		return never
	}
	return h.at[0]
}

func (h *heap) push(at nanos, id int32) {
	if h.n == len(h.at) {
		h.at, h.id = append(h.at, 0), append(h.id, 0)
	}
	i := h.n
	h.n++
	for i > 0 {
		parent := (i - 1) / 2
		if h.at[parent] <= at {
			break
		}
		h.at[i], h.id[i] = h.at[parent], h.id[parent]
		i = parent
	}
	h.at[i], h.id[i] = at, id
}

func (h *heap) pop() int32 {
	top := h.id[0]
	h.n--
	at, id := h.at[h.n], h.id[h.n]
	i := 0
	for {
		child := 2*i + 1
		if child >= h.n {
			break
		}
		if child+1 < h.n && h.at[child+1] < h.at[child] {
			child++
		}
		if at <= h.at[child] {
			break
		}
		h.at[i], h.id[i] = h.at[child], h.id[child]
		i = child
	}
	h.at[i], h.id[i] = at, id
	return top
}

// ring is a queue of images, first in, first out.
type ring struct {
	images []image // a power of two long
	head   int
	n      int
}

func (r *ring) push(img image) {
	if r.n == len(r.images) {
		grown := make([]image, max(64, 2*len(r.images)))
		for i := range r.n {
			grown[i] = r.images[(r.head+i)&(len(r.images)-1)]
		}
		r.images, r.head = grown, 0
	}
	r.images[(r.head+r.n)&(len(r.images)-1)] = img
	r.n++
}

func (r *ring) pop() image {
	img := r.images[r.head]
	r.head = (r.head + 1) & (len(r.images) - 1)
	r.n--
	return img
}
