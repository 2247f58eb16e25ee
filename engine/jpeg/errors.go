package jpeg

import (
	"fmt"
	"io"
)

// FormatError reports a file that breaks the JPEG standard or ends too early. For the latter,
// errors.Is(err, io.ErrUnexpectedEOF) holds.
//
// See docs/decisions/0030-no-half-picture.md.
type FormatError struct {
	Offset    int    // in bytes from the start of the file, near the fault
	Reason    string // what is wrong
	Truncated bool   // the data ended before the picture was complete
}

func (e FormatError) Error() string {
	return fmt.Sprintf("jpeg: invalid file at byte %d: %s", e.Offset, e.Reason)
}

// Is makes truncation comparable to io.ErrUnexpectedEOF.
func (e FormatError) Is(target error) bool {
	return e.Truncated && target == io.ErrUnexpectedEOF
}

// UnsupportedError reports a file that may be valid but uses something this package does not decode.
type UnsupportedError struct {
	Feature string // for example "samples of other than 8 bits"
}

func (e UnsupportedError) Error() string { return "jpeg: unsupported: " + e.Feature }

// SizeError reports a picture with more pixels than Options.MaxPixels. No memory was allocated for it.
type SizeError struct {
	Width, Height, MaxPixels int
}

func (e SizeError) Error() string {
	return fmt.Sprintf("jpeg: picture of %dx%d pixels exceeds the limit of %d pixels", e.Width, e.Height, e.MaxPixels)
}
