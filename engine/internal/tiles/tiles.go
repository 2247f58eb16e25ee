// Package tiles divides the rows of a matrix product into tiles, which kernels multiply one after another.
package tiles

// Rows is a division into Tall tiles of N rows each, followed by Low tiles of one row less.
type Rows struct{ N, Tall, Low int }

// Cut divides m rows, at least 1, into the fewest tiles of at most most rows each, of nearly equal height, because a low
// tile costs nearly as much as a tall one.
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
