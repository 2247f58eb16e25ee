package jpeg_test

import (
	"errors"
	"fmt"
	"image"
	"log"
	"os"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// One Decoder serves many pictures, one after the other, without allocating.
func ExampleDecoder_Decode() {
	var d jpeg.Decoder
	for _, name := range []string{"testdata/gray.jpg", "testdata/cmyk.jpg"} {
		data, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		rgb, err := d.Decode(data, jpeg.Options{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(rgb.Width, rgb.Height, rgb.Pix[:3])
	}
	// Output:
	// 61 45 [101 101 101]
	// 61 45 [234 30 125]
}

// A caller that crops says so and saves the time for the rest.
func ExampleOptions_window() {
	data, err := os.ReadFile("testdata/sample-2x2.jpg")
	if err != nil {
		log.Fatal(err)
	}
	var d jpeg.Decoder
	rgb, err := d.Decode(data, jpeg.Options{Window: image.Rect(20, 10, 40, 30)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rgb.Pix[15*rgb.Stride+3*25:][:3]) // pixel (25, 15)
	// Output: [148 107 235]
}

// Errors tell broken files from those that other decoders may read.
func ExampleDecodeConfig() {
	data, err := os.ReadFile("testdata/bad-lossless.jpg")
	if err != nil {
		log.Fatal(err)
	}
	_, err = jpeg.DecodeConfig(data)
	var unsupported jpeg.UnsupportedError
	fmt.Println(errors.As(err, &unsupported), err)
	// Output: true jpeg: unsupported: lossless or hierarchical process
}
