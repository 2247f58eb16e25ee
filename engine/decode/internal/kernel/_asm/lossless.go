package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func lossless() {
	addGreen()
	addColors()
	predictions()
}

// perPixel makes a constant of the same four bytes for each pixel, which may be an order of bytes within it: 0x80 gives zero.
func perPixel(name string, isOrder bool, v [4]byte) Mem {
	var all [16]byte
	for i := range all {
		all[i] = v[i%4]
		if isOrder && v[i%4] < 4 {
			all[i] += byte(i &^ 3)
		}
	}
	return bytes(name, all)
}

// row is the parameters of a function that goes through the pixels of a row.
type row struct {
	dst, src, above GPVirtual // behind the last pixel
	i               GPVirtual // number of the pixel, from the end on: negative
}

// pixel addresses a pixel, offset pixels after the current one.
func (r *row) pixel(base Register, offset int) Mem {
	return Mem{Base: base, Index: r.i, Scale: 4, Disp: 4 * offset}
}

// overRow writes a function that goes through n pixels, some at a time. Setup makes what stays for all pixels.
func overRow(name, params, doc string, step int, setup func(r *row), body func(r *row)) {
	TEXT(name, NOSPLIT, "func("+params+" *uint32, n int)")
	Pragma("noescape")
	Doc(name + " is " + doc)
	r := &row{dst: arg("dst"), src: arg("src")}
	if params != "dst, src" {
		r.above = arg("above")
	}
	r.i = arg("n")
	for _, base := range []GPVirtual{r.dst, r.src, r.above} {
		if base != nil {
			LEAQ(Mem{Base: base, Index: r.i, Scale: 4}, base)
		}
	}
	NEGQ(r.i)
	setup(r)
	Label("loop")
	body(r)
	ADDQ(U8(step), r.i)
	JLT(LabelRef("loop"))
	if step == 8 {
		VZEROUPPER()
	}
	RET()
}

func addGreen() {
	order := perPixel("greenToOthers", true, [4]byte{1, 0x80, 1, 0x80})
	overRow("addGreenVector", "dst, src", "addGreenGeneric, n greater than 0.", 8, func(*row) {}, func(r *row) {
		p, green := YMM(), YMM()
		VMOVDQU(r.pixel(r.src, 0), p)
		VPSHUFB(order, p, green)
		VPADDB(green, p, p)
		VMOVDQU(p, r.pixel(r.dst, 0))
	})
}

// addColors multiplies a channel and a factor, each in the upper byte of a 16-bit number, the factor less 5 bits of the 8: the upper
// half of the product is that of the channel and the factor, without its lowest 5 bits.
func addColors() {
	greens := perPixel("greens", true, [4]byte{0x80, 1, 0x80, 1})
	reds := perPixel("reds", true, [4]byte{0x80, 2, 0x80, 0x80})
	greenFactors := perPixel("greenFactors", true, [4]byte{0x80, 1, 0x80, 0})
	redAndBlue := perPixel("redAndBlue", false, [4]byte{0xFF, 0, 0xFF, 0})

	TEXT("addColorsVector", NOSPLIT, "func(dst, src, factors *uint32, n, tile int)")
	Pragma("noescape")
	Doc("addColorsVector is addColorsGeneric for tiles of a multiple of 8 pixels, n greater than 0.")
	dst, src, factors, n, tile := arg("dst"), arg("src"), arg("factors"), arg("n"), arg("tile")
	orderGreens, orderReds, both := YMM(), YMM(), YMM()
	VMOVDQU(greens, orderGreens)
	VMOVDQU(reds, orderReds)
	VMOVDQU(redAndBlue, both)

	Label("tile")
	byGreen, byRed := YMM(), YMM()
	VPBROADCASTD(at(factors, 0), byRed)
	ADDQ(U8(4), factors)
	VPSHUFB(greenFactors, byRed, byGreen)
	VPSRAW(U8(5), byGreen, byGreen)
	VPSHUFB(orderReds, byRed, byRed)
	VPSRAW(U8(5), byRed, byRed)
	left := GP64()
	MOVQ(tile, left)

	Label("pixels")
	p, change, sum := YMM(), YMM(), YMM()
	VMOVDQU(at(src, 0), p)
	VPSHUFB(orderGreens, p, change)
	VPMULHW(byGreen, change, change)
	VPADDB(change, p, sum)
	VPSHUFB(orderReds, sum, change)
	VPMULHW(byRed, change, change)
	VPADDB(change, sum, sum)
	VPAND(both, sum, sum)
	VPANDN(p, both, p)
	VPOR(sum, p, p)
	VMOVDQU(p, at(dst, 0))
	ADDQ(U8(32), src)
	ADDQ(U8(32), dst)
	SUBQ(U8(8), n)
	JLE(LabelRef("end"))
	SUBQ(U8(8), left)
	JNZ(LabelRef("pixels"))
	JMP(LabelRef("tile"))
	Label("end")
	VZEROUPPER()
	RET()
}

// predictions are of two sorts. Those that need pixels of the row above only are made for eight pixels at a time. The others wait for
// the pixel to the left, and differ by how many instructions that takes. What they do with the row above is done meanwhile.
//
// VPAVGB rounds up. Of complements it is the complement of the mean rounded down, so those predictions have the complement of all
// pixels; to add to a pixel is to subtract from its complement.
func predictions() {
	black := perPixel("black", false, [4]byte{0, 0, 0, 255})
	ones := perPixel("ones", false, [4]byte{1, 1, 1, 1})
	parallel := func(mode int, predict func(r *row) Op) {
		prediction(mode, 8, func(*row) {}, func(r *row) {
			p := YMM()
			VMOVDQU(r.pixel(r.src, 0), p)
			VPADDB(predict(r), p, p)
			VMOVDQU(p, r.pixel(r.dst, 0))
		})
	}
	ofAbove := func(offset int) func(r *row) Op { // the pixel there
		return func(r *row) Op { return r.pixel(r.above, offset) }
	}
	meanOfAbove := func(a, b int) func(r *row) Op {
		return func(r *row) Op {
			p, q, m := YMM(), YMM(), YMM()
			VMOVDQU(r.pixel(r.above, a), p)
			VMOVDQU(r.pixel(r.above, b), q)
			VPAVGB(p, q, m)
			VPXOR(p, q, q)
			VPAND(ones, q, q)
			VPSUBB(q, m, m)
			return m
		}
	}
	parallel(0, func(*row) Op { return black })
	left()
	parallel(2, ofAbove(0))
	parallel(3, ofAbove(1))
	parallel(4, ofAbove(-1))
	means(5, func(r *row, left VecVirtual, all VecVirtual) {
		VPAVGB(r.complement(1, all), left, left)
		VPAVGB(r.complement(0, all), left, left)
	})
	means(6, func(r *row, left VecVirtual, all VecVirtual) { VPAVGB(r.complement(-1, all), left, left) })
	means(7, func(r *row, left VecVirtual, all VecVirtual) { VPAVGB(r.complement(0, all), left, left) })
	parallel(8, meanOfAbove(-1, 0))
	parallel(9, meanOfAbove(0, 1))
	means(10, func(r *row, left VecVirtual, all VecVirtual) {
		above := r.complement(0, all)
		VPAVGB(r.complement(1, all), above, above)
		VPAVGB(r.complement(-1, all), left, left)
		VPAVGB(above, left, left)
	})
	nearest()
	gradient()
	halfGradient(ones)
}

func prediction(mode, step int, setup, body func(r *row)) {
	overRow(fmt.Sprintf("predict%dVector", mode), "dst, src, above", fmt.Sprintf("mode %d of predictGeneric for n pixels, n greater than 0.", mode), step, setup, body)
}

// complement loads pixels of the row above. All is a register of ones.
func (r *row) complement(offset int, all VecVirtual) VecVirtual {
	v := XMM()
	VPXOR(r.pixel(r.above, offset), all, v)
	return v
}

// left makes sums of four pixels at a time.
func left() {
	var last VecVirtual
	prediction(1, 4, func(r *row) {
		last = XMM()
		VPBROADCASTD(r.pixel(r.dst, -1), last)
	}, func(r *row) {
		p, t := XMM(), XMM()
		VMOVDQU(r.pixel(r.src, 0), p)
		VPSLLDQ(U8(4), p, t)
		VPADDB(t, p, p)
		VPSLLDQ(U8(8), p, t)
		VPADDB(t, p, p)
		VPADDB(p, last, last)
		VMOVDQU(last, r.pixel(r.dst, 0))
		VPSHUFD(U8(0xFF), last, last)
	})
}

// means writes a prediction that is a mean of the pixel to the left and others, of which mean makes the complement.
func means(mode int, mean func(r *row, left VecVirtual, all VecVirtual)) {
	var last, all VecVirtual
	prediction(mode, 1, func(r *row) {
		last, all = XMM(), XMM()
		VPCMPEQD(all, all, all)
		VMOVD(r.pixel(r.dst, -1), last)
		VPXOR(all, last, last)
	}, func(r *row) {
		mean(r, last, all)
		r.finish(last, all)
	})
}

// finish subtracts a pixel of the file from the complement of its prediction and stores the result.
func (r *row) finish(last, all VecVirtual) {
	VPSUBB(r.pixel(r.src, 0), last, last)
	p := XMM()
	VPXOR(all, last, p)
	VMOVD(p, r.pixel(r.dst, 0))
}

func nearest() {
	var last VecVirtual
	prediction(11, 1, func(r *row) {
		last = XMM()
		VMOVD(r.pixel(r.dst, -1), last)
	}, func(r *row) {
		src, top, topLeft, toLeft, toTop := XMM(), XMM(), XMM(), XMM(), XMM()
		VMOVD(r.pixel(r.src, 0), src)
		VMOVD(r.pixel(r.above, 0), top)
		VMOVD(r.pixel(r.above, -1), topLeft)
		VPSADBW(top, topLeft, toLeft)
		VPSADBW(last, topLeft, toTop)
		VPCMPGTD(toLeft, toTop, toTop)
		VPBLENDVB(toTop, last, top, last)
		VPADDB(src, last, last)
		VMOVD(last, r.pixel(r.dst, 0))
	})
}

// gradient adds the difference of the pixels above with saturation. Where it is negative its opposite is subtracted.
func gradient() {
	var last VecVirtual
	prediction(12, 1, func(r *row) {
		last = XMM()
		VMOVD(r.pixel(r.dst, -1), last)
	}, func(r *row) {
		top, topLeft, up, down := XMM(), XMM(), XMM(), XMM()
		VMOVD(r.pixel(r.above, 0), top)
		VMOVD(r.pixel(r.above, -1), topLeft)
		VPSUBUSB(topLeft, top, up)
		VPSUBUSB(top, topLeft, down)
		VPADDUSB(up, last, last)
		VPSUBUSB(down, last, last)
		VPADDB(r.pixel(r.src, 0), last, last)
		VMOVD(last, r.pixel(r.dst, 0))
	})
}

// halfGradient halves differences by VPAVGB with zero, which rounds up. So they are made smaller by one before.
func halfGradient(ones Mem) {
	var last, all, one, zero VecVirtual
	prediction(13, 1, func(r *row) {
		last, all, one, zero = XMM(), XMM(), XMM(), XMM()
		VPCMPEQD(all, all, all)
		VMOVDQU(ones, one)
		VPXOR(zero, zero, zero)
		VMOVD(r.pixel(r.dst, -1), last)
		VPXOR(all, last, last)
	}, func(r *row) {
		topLeft := r.complement(-1, all)
		less, more := XMM(), XMM()
		VPSUBUSB(one, topLeft, less)
		VPADDUSB(one, topLeft, more)
		VPAVGB(r.complement(0, all), last, last)
		VPSUBUSB(last, less, less)
		VPSUBUSB(more, last, more)
		VPAVGB(zero, less, less)
		VPAVGB(zero, more, more)
		VPSUBUSB(less, last, last)
		VPADDUSB(more, last, last)
		r.finish(last, all)
	})
}
