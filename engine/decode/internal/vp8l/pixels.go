package vp8l

import (
	"cmp"
	"encoding/binary"
	"slices"
)

const (
	literals  = 256
	lengths   = 24
	distances = 40
)

// pixels reads pixels (section 5). The main picture may have a group of prefix codes for each tile.
func (d *Decoder) pixels(pix []Pixel, width, height int, main bool) error {
	cacheBits := uint(0)
	if d.bits(1) == 1 {
		if cacheBits = uint(d.bits(4)); cacheBits < 1 || cacheBits > maxCache {
			return ErrData
		}
	}
	c := choice{width: width}
	groups := 1
	if main && d.bits(1) == 1 {
		c.bits = uint(d.bits(3)) + 2
		c.perRow = tiles(width, c.bits)
		var err error
		if d.choices, err = d.image(d.choices, c.perRow, tiles(height, c.bits)); err != nil {
			return err
		}
		c.groups = d.choices
		for i, p := range c.groups {
			c.groups[i] = p >> 8 & 0xFFFF
			groups = max(groups, int(c.groups[i])+1)
		}
		if groups > MaxGroups {
			return ErrGroups
		}
	}
	d.cache.reset(cacheBits)
	d.groups = resize(d.groups, groups)
	for i := range d.groups {
		if err := d.readGroup(&d.groups[i]); err != nil {
			return err
		}
		if err := d.check(groupWork); err != nil {
			return err
		}
	}
	return d.decode(pix, &c)
}

// groupWork is what a group of prefix codes costs, in bytes of pixels that could be read instead: up to 20 microseconds.
const groupWork = 8 << 10

// choice is which group of prefix codes each tile of a picture has.
type choice struct {
	width  int     // of the picture
	groups []Pixel // numbers of groups; nil if there is one group
	perRow int
	bits   uint // log2 of the width of a tile
}

// at returns the group of a pixel, and how many pixels of its row have the same for certain.
func (c *choice) at(x, y int) (group, pixels int) {
	if c.groups == nil {
		return 0, c.width - x
	}
	return int(c.groups[y>>c.bits*c.perRow+x>>c.bits]), min((x>>c.bits+1)<<c.bits, c.width) - x
}

// decode reads the pixels (section 5.2). The state of the reader is in variables meanwhile, which the compiler puts in registers.
func (d *Decoder) decode(pix []Pixel, c *choice) error {
	data := d.data[:len(d.data):len(d.data)]
	pos, next, count := d.pos, d.next, d.count
	cache := &d.cache
	at, x, y, checked := 0, 0, 0, 0
	for at < len(pix) {
		group, n := c.at(x, y)
		g := &d.groups[group]
		begin, end := at, at+n
		for at < end {
			if pos >= 0 && pos < len(data)-7 {
				next |= binary.LittleEndian.Uint64(data[pos:]) << (count & 63)
				pos += int(63-count) >> 3
				count |= 56
			} else {
				d.pos, d.next, d.count = pos, next, count
				d.fillSlowly()
				pos, next, count = d.pos, d.next, d.count
			}
			e := g.trees[green].find(next)
			next >>= e & 15
			count -= uint(e & 15)
			symbol := e >> 4
			var p Pixel
			switch {
			case symbol-literals < lengths:
				d.pos, d.next, d.count = pos, next, count
				n := d.match(pix, at, c.width, int(symbol-literals), &g.trees[distance])
				if n < 0 {
					return cmp.Or(d.short(), ErrData)
				}
				at += n
				pos, next, count = d.pos, d.next, d.count
				continue
			case g.plain:
				literal := Pixel((int32(symbol) - literals) >> 31) // all bits or none: no branch, which could not be predicted
				p = cache.colors[symbol%(1<<12)] | g.constant&literal
			case symbol >= literals:
				p = cache.colors[symbol%(1<<12)]
			default:
				r := g.trees[red].find(next)
				next >>= r & 15
				count -= uint(r & 15)
				b := g.trees[blue].find(next)
				next >>= b & 15
				count -= uint(b & 15)
				p = g.constant | Pixel(r>>4)<<16 | Pixel(symbol)<<8 | Pixel(b>>4)
				if !g.opaque {
					if count < maxCode {
						d.pos, d.next, d.count = pos, next, count
						d.fillSlowly()
						pos, next, count = d.pos, d.next, d.count
					}
					a := g.trees[alpha].find(next)
					next >>= a & 15
					count -= uint(a & 15)
					p |= Pixel(a>>4) << 24
				}
			}
			pix[at] = p
			at++
			if cache.bits > 0 {
				cache.add(p)
			}
		}
		if x += at - begin; x < c.width {
			continue
		}
		y, x = y+x/c.width, x%c.width
		d.pos, d.next, d.count = pos, next, count
		if err := d.short(); err != nil {
			return err
		}
		if err := d.check(4 * (at - checked)); err != nil {
			return err
		}
		checked = at
	}
	d.pos, d.next, d.count = pos, next, count
	return d.short()
}

// match reads the rest of a match, and repeats earlier pixels (section 5.2.2). It returns how many, or -1 if they do not fit.
func (d *Decoder) match(pix []Pixel, at, width, symbol int, t *tree) int {
	length := d.number(symbol)
	d.fill()
	back := back(width, d.number(d.symbol(t)))
	if back > at || length > len(pix)-at {
		return -1
	}
	const most = 8 // pixels of a short match
	if length <= most && back >= most && at+most <= len(pix) {
		*(*[most]Pixel)(pix[at:]) = [most]Pixel(pix[at-back:]) // the surplus will be overwritten
	} else {
		repeat(pix[at-back:at+length], back)
	}
	if d.cache.bits > 0 { // colors that come again are the same again
		for _, p := range pix[at+length-min(length, back) : at+length] {
			d.cache.add(p)
		}
	}
	return length
}

// repeat fills what follows the first back pixels with them.
func repeat(pix []Pixel, back int) {
	for done := back; done < len(pix); {
		done += copy(pix[done:], pix[:done])
	}
}

// near are the places that the 120 shortest distance codes stand for: columns to the left, up to 7 to the right, and rows above,
// the nearest first, of those the highest, of those the leftmost (section 5.2.2).
var near = func() (places [120]struct{ left, up int }) {
	i := 0
	for up := range 8 {
		for left := -7; left <= 8; left++ {
			if up > 0 || left > 0 {
				places[i].left, places[i].up = left, up
				i++
			}
		}
	}
	slices.SortFunc(places[:], func(a, b struct{ left, up int }) int {
		return cmp.Or(a.left*a.left+a.up*a.up-b.left*b.left-b.up*b.up, b.up-a.up, b.left-a.left)
	})
	return places
}()

// back returns how many pixels a distance code goes back.
func back(width, code int) int {
	if code > len(near) {
		return code - len(near)
	}
	place := near[code-1]
	return max(place.up*width+place.left, 1)
}

// cache is the cache of recent colors (section 5.2.3), in which they are found by their hashes.
type cache struct {
	bits uint // log2 of its size; zero if there is none
	// The colors by their symbols. What is before the cache is the green of literals.
	colors [1 << 12]Pixel
}

const maxCache = 11

func (c *cache) reset(bits uint) {
	c.bits = bits
	for i := range Pixel(literals) {
		c.colors[i] = i << 8
	}
	clear(c.colors[literals+lengths:][:1<<bits])
}

func (c *cache) add(p Pixel) {
	c.colors[(literals+lengths+p*0x1E35A7BD>>((32-c.bits)&31))%(1<<12)] = p
}
