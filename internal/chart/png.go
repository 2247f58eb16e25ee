package chart

import (
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"math"
	"os"

	"golang.org/x/image/vector"
)

// pngScale is the number of pixels of a PNG to one of the chart, in each direction.
const pngScale = 2

// WritePNG writes the chart to a file, on white.
func (c Chart) WritePNG(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := errors.Join(encoder.Encode(f, c.image()), f.Close()); err != nil {
		return fmt.Errorf("write chart %s: %w", path, err)
	}
	return nil
}

func (c Chart) image() image.Image {
	l := c.layout()
	b := bitmap{image.NewRGBA(image.Rect(0, 0, pngScale*l.Width, pngScale*l.Height))}
	draw.Draw(b.RGBA, b.Bounds(), image.White, image.Point{}, draw.Src)
	l.draw(b)
	return b.RGBA
}

// bitmap is a canvas that draws into an image.
type bitmap struct{ *image.RGBA }

// fill fills polygons: their union where they have the same direction, and holes where they have opposite ones.
func (b bitmap) fill(c Color, polygons ...[]point) {
	box := image.Rectangle{}
	for _, polygon := range polygons {
		for _, p := range polygon {
			x, y := int(math.Floor(pngScale*p.x)), int(math.Floor(pngScale*p.y))
			box = box.Union(image.Rect(x, y, x+2, y+2))
		}
	}
	if box = box.Intersect(b.Bounds()); box.Empty() {
		return
	}
	r := vector.NewRasterizer(box.Dx(), box.Dy())
	at := func(p point) (x, y float32) {
		return float32(pngScale*p.x - float64(box.Min.X)), float32(pngScale*p.y - float64(box.Min.Y))
	}
	for _, polygon := range polygons {
		r.MoveTo(at(polygon[0]))
		for _, p := range polygon[1:] {
			r.LineTo(at(p))
		}
		r.ClosePath()
	}
	r.Draw(b.RGBA, box, image.NewUniform(colors[c].light), image.Point{})
}

// polyline fills a rectangle for each segment, and a circle where the line bends.
func (b bitmap) polyline(points []point, c Color, width float64) {
	var polygons [][]point
	for i := range points {
		if i > 0 && points[i] != points[i-1] {
			from, to := points[i-1], points[i]
			half := width / 2 / math.Hypot(to.x-from.x, to.y-from.y)
			dx, dy := half*(to.x-from.x), half*(to.y-from.y)
			polygons = append(polygons, []point{{from.x - dy, from.y + dx}, {to.x - dy, to.y + dx}, {to.x + dy, to.y - dx}, {from.x + dy, from.y - dx}})
		}
		if i > 0 && i < len(points)-1 && bends(points[i-1], points[i], points[i+1]) {
			polygons = append(polygons, disc(points[i], width/2))
		}
	}
	b.fill(c, polygons...)
}

// dashes draws a horizontal line of dashes.
func (b bitmap) dashes(from, to point, c Color, width float64) {
	for x := from.x; x < to.x; x += dashLength + dashGap {
		b.polyline([]point{{x, from.y}, {min(x+dashLength, to.x), to.y}}, c, width)
	}
}

// bends reports whether a line turns visibly in b. Where it does not, a circle would only darken its edges.
func bends(a, b, c point) bool {
	ux, uy, vx, vy := b.x-a.x, b.y-a.y, c.x-b.x, c.y-b.y
	return ux*vx+uy*vy < 0.99*math.Hypot(ux, uy)*math.Hypot(vx, vy)
}

// disc approximates a circle. Its direction is that of polyline's rectangles.
func disc(at point, radius float64) []point {
	const corners = 24
	polygon := make([]point, corners)
	for i := range polygon {
		sin, cos := math.Sincos(-2 * math.Pi * float64(i) / corners)
		polygon[i] = point{at.x + radius*cos, at.y + radius*sin}
	}
	return polygon
}

func (b bitmap) rectangle(from, to point, c Color) {
	b.fill(c, []point{from, {to.x, from.y}, to, {from.x, to.y}})
}

func (b bitmap) circle(at point, radius float64, c Color) { b.fill(c, disc(at, radius)) }

func (b bitmap) text(at point, a anchor, size float64, c Color, text string) {
	at.x -= textWidth(text, size) * [...]float64{0, 0.5, 1}[a]
	var contours [][]point
	for _, r := range text {
		g := glyphOf(r)
		for _, contour := range g.contours {
			moved := make([]point, len(contour))
			for i, p := range contour {
				moved[i] = point{at.x + size*p.x, at.y + size*p.y}
			}
			contours = append(contours, moved)
		}
		at.x += size * g.advance
	}
	b.fill(c, contours...)
}
