// Package jpeg decodes JPEG files (ITU-T T.81 | ISO/IEC 10918-1) to exactly the pixels that libjpeg-turbo produces with
// its default settings, and with it Pillow, torchvision and OpenCV: a network trained on their pixels sees the
// same ones here. Bytes of a file go in, interleaved 8-bit RGB comes out.
//
// It decodes baseline, extended sequential and progressive files of 8 bits per sample, Huffman-coded or arithmetic-coded,
// with 1, 3 or 4 components in any sampling that libjpeg-turbo supports, restart intervals, Adobe color transforms and
// CMYK. Files of other processes (lossless, 12 bit) are an [UnsupportedError], damaged or truncated files a [FormatError];
// there are no partial pictures. Embedded color profiles and EXIF orientation are ignored.
//
// A [Decoder] is for one goroutine and reuses its memory; pictures no larger than an earlier one allocate nothing:
//
//	var d jpeg.Decoder
//	rgb, err := d.Decode(data, jpeg.Options{})
//
// Importing the package also registers it with [image.RegisterFormat], so that [image.Decode] uses it.
package jpeg
