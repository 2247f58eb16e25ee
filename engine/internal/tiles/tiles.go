// Package tiles cuts the rows of a matrix product into tiles, which kernels multiply one after the other.
package tiles

// Rows is rows cut into Tall tiles of N rows each, and after them Low ones of a row less.
type Rows struct{ N, Tall, Low int }

// Cut makes the fewest tiles of m rows, at least 1, that have no more than most each: of nearly equal height, as a low
// tile costs nearly what a tall one does.
func Cut(m, most int) Rows {
	count := (m + most - 1) / most
	n := (m + count - 1) / count
	low := count*n - m
	return Rows{n, count - low, low}
}

// Sum is the number of rows.
func (r Rows) Sum() int { return r.Tall*r.N + r.Low*(r.N-1) }

// Count is the number of tiles.
func (r Rows) Count() int { return r.Tall + r.Low }

// Height is the number of rows of a tile.
func (r Rows) Height(tile int) int {
	if tile < r.Tall {
		return r.N
	}
	return r.N - 1
}
