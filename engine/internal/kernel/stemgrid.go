package kernel

import "fmt"

// The stem in two dimensions, for levels that have it. Down the columns, too, the seven rows are a convolution of four taps on the rows of
// even places and one of three on those of odd ones. So a tile of 4x4 outputs is computed from 7x7 positions. At 6x6 of them even and odd
// rows, even and odd columns, and the colors are one sum of 12 products. Where F(4,4) has a point of its own, there is nothing to add for
// odd places: six positions in the last row, and six in the last column, have 6 products each, and the corner has 3. In all, 507 products
// for each output channel give 16 outputs, instead of 2352 of a direct convolution and 1092 along rows.
//
// Tiles are computed in groups of neighbors, for a panel of channels at a time, so that their sums stay in a first-level cache. Positions
// are in this order: 6x6 row by row, those of the last row, those of the last column, the corner.
//
// See docs/decisions/0175-the-stem-in-two-dimensions.md.
const (
	// GridTiles is the most tiles of a group; the fewest is one less.
	GridTiles = 6
	// GridRows is the number of rows of pixels that a tile reads; the next tile's begin 2*StemOutputs further.
	GridRows = 13
	// GridPixels is the floats of a tile's transformed row: StemDeep at each position but the last, StemDeepLast there, and one unused.
	GridPixels = 40
	// GridSlack is the number of floats that are read after transformed rows, and ignored.
	GridSlack = 4
	// GridValues is the floats of a group's transformed pixels, GridSums those of its sums for a panel of GridPanel channels.
	GridValues, GridSums, GridPanel = gridCorner + 20, 49 * gridTile, 16 //nolint:revive // one comment for all
	// GridWeights is the floats of a panel's weights.
	GridWeights = 507 * GridPanel

	gridPositions = StemPositions - 1     // in a row of those with all products
	gridDeep      = 4*3*GridTiles + 4     // values of a position there, with what its last store may write behind them
	gridEdge      = 2*3*GridTiles + 4     // of a position of the last row or column
	gridTile      = GridTiles * GridPanel // sums of a position
	gridRow       = gridPositions * gridPositions * gridDeep
	gridColumn    = gridRow + gridPositions*gridEdge
	gridCorner    = gridColumn + gridPositions*gridEdge
)

// HasGrid reports whether this level has the stem in two dimensions.
func (s *Set) HasGrid() bool { return s.gridColumns != nil }

// GridRow transforms a row of normalized pixels for a number of tiles, GridPixels each.
func (s *Set) GridRow(v, x []float32, tiles int) {
	s.StemInput(v, StemDeep, GridPixels, v[gridPositions*StemDeep:], GridPixels, x, tiles)
}

// GridColumns transforms the columns of a group of tiles, whose rows are transformed by GridRow and rs apart. v has GridValues.
func (s *Set) GridColumns(v, x []float32, rs, tiles int) {
	checkGrid(tiles)
	_, _ = v[GridValues-1], x[(GridRows-1)*rs+tiles*GridPixels+GridSlack-1]
	s.gridColumns(v, x, rs, tiles)
}

// GridMultiply multiplies a group's pixels v with a panel of weights u, which GridPack laid out. m has GridSums.
func (s *Set) GridMultiply(m, v, u []float32, tiles int) {
	checkGrid(tiles)
	_, _, _ = m[GridSums-1], v[GridValues-1], u[GridWeights-1]
	s.gridMultiply(m, v, u, tiles)
}

// GridOutput transforms a group's sums back, adds the bias and applies ReLU: y[i][(StemOutputs*t+j)*64+c] is the output of tile t in row i
// and column j.
func (s *Set) GridOutput(y [StemOutputs][]float32, m, bias []float32, tiles int) {
	checkGrid(tiles)
	_, _ = m[GridSums-1], bias[GridPanel-1]
	for _, row := range y {
		_ = row[(StemOutputs*tiles-1)*stemChannels+GridPanel-1]
	}
	s.gridOutput(y, m, bias, tiles)
}

func checkGrid(tiles int) {
	if tiles != GridTiles && tiles != GridTiles-1 {
		panic(fmt.Sprintf("kernel: a group of %d tiles", tiles))
	}
}

// GridPack transforms the 7x7 weights of one output channel, [color][row][column], times a factor, and writes them to a column of a panel.
// It computes in float64, because it runs once.
func GridPack(u []float32, column int, weight []float32, factor float64) {
	const positions, size = StemPositions, 7
	var all [3][2 * positions][2 * positions]float64 // [color][row][column], those for odd places behind the others
	for color := range all {
		var half [size][2 * positions]float64
		for row := range half {
			half[row] = StemWeights(weight[(color*size+row)*size:][:size], factor)
		}
		for j := range 2 * positions {
			var taps [size]float64
			for row := range taps {
				taps[row] = half[row][j]
			}
			for i, value := range stemWeights(taps) {
				all[color][i][j] = value
			}
		}
	}
	at := column
	add := func(row, column int) {
		for color := range all {
			u[at] = float32(all[color][row][column])
			at += GridPanel
		}
	}
	const last = positions - 1
	for i := range last {
		for j := range last {
			add(i, j)
			add(i, positions+j)
			add(positions+i, j)
			add(positions+i, positions+j)
		}
	}
	for j := range last {
		add(last, j)
		add(last, positions+j)
	}
	for i := range last {
		add(i, last)
		add(positions+i, last)
	}
	add(last, last)
}

func gridColumnsGeneric(v, x []float32, rs, tiles int) {
	for t := range tiles {
		for column := range StemPositions {
			width := StemDeep
			if column == gridPositions {
				width = StemDeepLast
			}
			for i := range width {
				z := x[t*GridPixels+column*StemDeep+i:]
				for p, row := range f4.bt {
					var here, next, odd float32
					for j, factor := range row {
						here += factor * z[2*j*rs]
						next += factor * z[(2*j+2)*rs]
						odd += factor * z[(2*j+1)*rs]
					}
					at, last := (gridPositions*p+column)*gridDeep+2*width*t, gridRow+column*gridEdge+width*t
					if column == gridPositions {
						at, last = gridColumn+p*gridEdge+2*width*t, gridCorner+width*t
					}
					v[at+i], v[at+width+i] = next-stemPoint*here, odd
					if p == 5 {
						v[last+i] = here
					}
				}
			}
		}
	}
}

// gridPlace is where a position's values begin, and how many a tile has.
func gridPlace(position int) (at, deep int) {
	const square = gridPositions * gridPositions
	switch edge := position - square; {
	case edge < 0:
		return position * gridDeep, 4 * 3
	case edge < 2*gridPositions:
		return gridRow + edge*gridEdge, 2 * 3
	default:
		return gridCorner, 3
	}
}

func gridMultiplyGeneric(m, v, u []float32, tiles int) {
	for position := range StemPositions * StemPositions {
		at, deep := gridPlace(position)
		for t := range tiles {
			sums := m[position*gridTile+t*GridPanel:][:GridPanel]
			clear(sums)
			for i, x := range v[at+t*deep:][:deep] {
				for c, w := range u[i*GridPanel:][:GridPanel] {
					sums[c] += x * w
				}
			}
		}
		u = u[deep*GridPanel:]
	}
}

func gridOutputGeneric(y [StemOutputs][]float32, m, bias []float32, tiles int) {
	const last, square = gridPositions, gridPositions * gridPositions
	place := func(row, column int) int {
		switch {
		case row < last && column < last:
			return last*row + column
		case column < last:
			return square + column
		case row < last:
			return square + last + row
		default:
			return square + 2*last
		}
	}
	for t := range tiles {
		for c := range GridPanel {
			var half [StemPositions][StemOutputs]float32 // column by column
			for column := range half {
				var d [StemPositions]float32
				for row := range d {
					d[row] = m[place(row, column)*gridTile+t*GridPanel+c]
				}
				half[column] = stemBack(d)
			}
			for i := range y {
				var d [StemPositions]float32
				for column := range d {
					d[column] = half[column][i]
				}
				for j, sum := range stemBack(d) {
					y[i][(StemOutputs*t+j)*stemChannels+c] = max(0, sum+bias[c])
				}
			}
		}
	}
}
