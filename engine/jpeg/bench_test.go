package jpeg_test

import (
	"image"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// samples returns every tenth of the 1000 sample images.
func samples(b *testing.B) [][]byte {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(testutil.Shared(b, "images", "imagenet-sample"), "*.JPEG"))
	if err != nil || len(names) < 1000 {
		b.Fatalf("%d sample images, error %v", len(names), err)
	}
	var files [][]byte
	for i := 0; i < len(names); i += 10 {
		files = append(files, readFile(b, names[i]))
	}
	return files
}

// BenchmarkSamples decodes photographs; one operation is one picture.
func BenchmarkSamples(b *testing.B) {
	files := samples(b)
	crop := func(w, h int) image.Rectangle { // what a centre crop of 7/8 needs
		n := min(w, h) * 7 / 8
		return image.Rect((w-n)/2-1, (h-n)/2-1, (w+n)/2+1, (h+n)/2+1)
	}
	for _, windowed := range []bool{false, true} {
		name := map[bool]string{false: "whole", true: "crop"}[windowed]
		b.Run(name, func(b *testing.B) {
			var d jpeg.Decoder
			size := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				data := files[i%len(files)]
				var o jpeg.Options
				if windowed {
					c, err := jpeg.DecodeConfig(data)
					if err != nil {
						b.Fatal(err)
					}
					o.Window = crop(c.Width, c.Height)
				}
				if _, err := d.Decode(data, o); err != nil {
					b.Fatal(err)
				}
				size += len(data)
			}
			b.SetBytes(int64(size / b.N))
		})
	}
}
