// Package jpeg decodes JPEG files (ITU-T T.81 | ISO/IEC 10918-1) to the very pixels that libjpeg-turbo gives with
// its default settings, and therefore Pillow, torchvision and OpenCV: a network trained on their pixels sees the
// same ones here. Bytes of a file go in, interleaved 8-bit RGB comes out.
//
// It decodes baseline, extended sequential and progressive Huffman-coded files of 8 bits per sample with 1, 3 or 4
// components in any sampling that libjpeg-turbo knows, restart intervals, Adobe color transforms and CMYK. Files of
// other processes (arithmetic coding, lossless, 12 bit) give an [UnsupportedError], broken or truncated files a
// [FormatError]; there is no half picture. Embedded color profiles and EXIF orientation are ignored.
//
// A [Decoder] is for one goroutine, reuses its memory and allocates nothing once it has seen the largest picture:
//
//	var d jpeg.Decoder
//	rgb, err := d.Decode(data, jpeg.Options{})
//
// Importing the package also registers it with [image.RegisterFormat], so that [image.Decode] uses it.
package jpeg
