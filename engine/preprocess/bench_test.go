package preprocess

import (
	"fmt"
	"image"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

func BenchmarkCrop(b *testing.B) {
	for _, size := range []image.Point{{500, 375}, {1024, 768}, {2048, 1536}, {4000, 3000}} {
		pix := picture("noise", size.X, size.Y)
		for _, interpolation := range []spec.Interpolation{spec.Bilinear, spec.Bicubic, spec.Nearest} {
			b.Run(fmt.Sprintf("%dx%d/%s", size.X, size.Y, interpolation), func(b *testing.B) {
				r := Resizer{Spec: spec.Torchvision()}
				r.Spec.Interpolation = interpolation
				var in Input
				b.ReportAllocs()
				for b.Loop() {
					r.Crop(&in, pix, 3*size.X, size.X, size.Y)
				}
			})
		}
	}
}

// BenchmarkPlan is what a picture of another size than the last one takes in addition.
func BenchmarkPlan(b *testing.B) {
	for _, interpolation := range []spec.Interpolation{spec.Bilinear, spec.Bicubic, spec.Nearest} {
		b.Run(string(interpolation), func(b *testing.B) {
			p := spec.Torchvision()
			p.Interpolation = interpolation
			var plan plan
			for i := 0; b.Loop(); i++ {
				plan.set(p, 500+i%2, 375)
			}
		})
	}
}
