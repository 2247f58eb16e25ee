//go:build !only_replica && !only_dispatcher

package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

const (
	// thumbnailSide is the side of a small picture in pixels: samples are 88 wide or a little more, and screens have up to
	// two pixels for one.
	thumbnailSide = 160
	// thumbnailQuality makes 3 to 6 kB of a photograph. The difference to more is not visible at that size.
	thumbnailQuality = 60
)

// thumbnail makes the small picture of an image file, a square from its center, as the page shows it. The decoder and the
// resizer are those of the network's inputs.
func thumbnail(file []byte) ([]byte, error) {
	p := spec.Torchvision()
	p.Resize, p.Crop, p.Orient = thumbnailSide, thumbnailSide, true // browsers rotate, too
	crop := preprocess.Cropper{Spec: p}
	var pixels preprocess.Input
	if err := crop.Crop(&pixels, file); err != nil {
		return nil, err
	}
	small := image.NewRGBA(image.Rect(0, 0, thumbnailSide, thumbnailSide))
	for i := range thumbnailSide * thumbnailSide {
		copy(small.Pix[4*i:], pixels[3*i:3*i+3])
		small.Pix[4*i+3] = 0xff
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, small, &jpeg.Options{Quality: thumbnailQuality}); err != nil {
		return nil, fmt.Errorf("encode the small picture: %w", err)
	}
	return out.Bytes(), nil
}
