package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// runTensor is run for an image that is a tensor, as resnet18cloud.Want.Tensor describes it.
func (e *Engine) runTensor(ctx context.Context, b []byte) (*worker, resnet18cloud.Timing, error) {
	var t resnet18cloud.Timing
	w, err := e.take(ctx)
	if err != nil {
		return nil, t, err
	}
	clock := stopwatch{time.Now()}
	if err := readTensor(&w.input, b, e.model.Preprocess); err != nil {
		e.put(w)
		return nil, t, err
	}
	t.Preprocess = clock.lap()
	return e.finish(ctx, w, t)
}

// readTensor writes the pixels that a tensor was made of. With x = (p/255 - mean) / deviation, a pixel p of 0 to 255 is
// 255 * (deviation*x + mean). The network reads pixels of eight bits and normalizes inside, so p is rounded: exactly, if the
// client made the tensor from such pixels, as those of picture files are.
//
// For example, torchvision's red has the mean 0.485 and the deviation 0.229, and x = 2.2489 is 255 * (0.229*2.2489 + 0.485) =
// 255.00. Values of 0 to 255 that were not normalized are refused: x = 128 would be a pixel of 7598.
func readTensor(to *preprocess.Input, b []byte, p spec.Preprocess) error {
	plane := p.Crop * p.Crop
	if len(b) != 4*3*plane {
		return errTensor(fmt.Sprintf("The tensor has %d bytes", len(b)), p)
	}
	*to = slices.Grow((*to)[:0], 3*plane)[:3*plane]
	for c := range 3 {
		scale, offset := 255*p.Deviation[c], 255*p.Mean[c]
		for i := range plane {
			x := math.Float32frombits(binary.LittleEndian.Uint32(b[4*(c*plane+i):]))
			v := scale*float64(x) + offset
			if !(v > -255 && v < 2*255) { // rounding outside of the picture's range is forgiven, other scales and NaN are not
				return errTensor(fmt.Sprintf("The tensor has the value %g, which is not normalized", x), p)
			}
			(*to)[3*i+c] = uint8(min(max(v, 0), 255) + 0.5)
		}
	}
	return nil
}

func errTensor(message string, p spec.Preprocess) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: message,
		Hint: fmt.Sprintf("send 3x%dx%d values of float32, red first, that are (x/255 - mean) / deviation, with %s", p.Crop, p.Crop, p)}
}
