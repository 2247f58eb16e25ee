package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// TestThumbnail checks that a small picture shows the center of its file, in few bytes, and that broken files are errors.
func TestThumbnail(t *testing.T) {
	t.Parallel()
	wide := image.NewRGBA(image.Rect(0, 0, 900, 300))
	for i := range 900 * 300 {
		x := i % 900
		wide.Set(x, i/900, color.RGBA{R: uint8(x / 300 * 100), G: 50, B: 200, A: 255})
	}
	var file bytes.Buffer
	if err := png.Encode(&file, wide); err != nil {
		t.Fatal(err)
	}
	small, err := thumbnail(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	picture, format, err := image.Decode(bytes.NewReader(small))
	if err != nil || format != "jpeg" || picture.Bounds().Dx() != thumbnailSide || picture.Bounds().Dy() != thumbnailSide {
		t.Fatalf("%s of %v: %v", format, picture.Bounds(), err)
	}
	if r, g, b, _ := picture.At(thumbnailSide/2, thumbnailSide/2).RGBA(); max(r>>8, 100)-min(r>>8, 100) > 8 || g>>8 > 60 || b>>8 < 190 {
		t.Errorf("the center is %d %d %d, want about 100 50 200", r>>8, g>>8, b>>8)
	}
	if len(small) > 10_000 {
		t.Errorf("%d bytes", len(small))
	}
	if _, err := thumbnail([]byte("no picture")); err == nil {
		t.Error("no error for a file that is no picture")
	}
}
