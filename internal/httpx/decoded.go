package httpx

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// This file decodes what clients and proxies do to a body on its way: Content-Encoding of the body (RFC 9110, section 8.4.1,
// and RFC 8878), and Content-Transfer-Encoding of the parts of forms (RFC 2045, section 6). Limits apply to what comes out.

// maxWindow is the largest window of a zstd frame: RFC 9659, section 3, allows no larger one in HTTP.
const maxWindow = 8 << 20

// decoderBytes is what a decoder holds besides its window.
const decoderBytes = 256 << 10

// codings are the values of Content-Encoding that are decoded, besides identity.
const codings = "gzip, zstd"

// decoded makes the upload an image's bytes if its body is compressed. The memory of the decoder counts as the upload's. The
// compressed body may have most bytes too: parts of it may decode to nothing, and so any number of them.
func (u *upload) decoded(w http.ResponseWriter, most int64) (io.Reader, error) {
	coding := strings.ToLower(strings.Join(u.request.Header.Values("Content-Encoding"), ", "))
	switch coding {
	case "", "identity":
		return u, nil
	case "gzip", "x-gzip", "zstd":
	default:
		w.Header().Set("Accept-Encoding", codings) // RFC 9110, section 12.5.3
		return nil, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported,
			Message: fmt.Sprintf("Content-Encoding %q is not supported", logs.Clip(coding)),
			Hint:    "use gzip or zstd, or send the image file as it is; image formats are already compressed"}
	}
	u.announced = -1 // Content-Length is that of the compressed body
	packed := http.MaxBytesReader(w, io.NopCloser(u), most)
	if coding == "zstd" {
		return u.unzstd(packed)
	}
	if err := u.reserve(decoderBytes); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(packed)
	if err != nil {
		return nil, codingError(err)
	}
	return &decoder{from: z, end: func() {}}, nil
}

// unzstd returns a reader of the content of a body. Its frames need as much memory as the first one says.
func (u *upload) unzstd(packed io.Reader) (io.Reader, error) {
	start := make([]byte, zstd.HeaderMaxSize)
	n, err := io.ReadFull(packed, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, codingError(err)
	}
	var h zstd.Header
	if err := h.Decode(start[:n]); err != nil {
		return nil, codingError(err)
	}
	window := max(h.WindowSize, zstd.MinWindowSize)
	if h.SingleSegment { // RFC 8878, section 3.1.1.1.2: the window is the content; most programs write small files so
		window = max(h.FrameContentSize, zstd.MinWindowSize)
	}
	if window > maxWindow {
		return nil, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: "The body is compressed with a window of more than 8 MiB",
			Hint: "compress with zstd -19 or less, and without --long"}
	}
	if err := u.reserve(int64(2*window) + decoderBytes); err != nil { // of history; the decoder keeps up to two windows
		return nil, err
	}
	z, err := zstd.NewReader(io.MultiReader(bytes.NewReader(start[:n]), packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(maxWindow<<3))
	if err != nil {
		return nil, codingError(err)
	}
	d := &decoder{from: z, end: z.Close}
	u.decoder = d
	return d, nil
}

// hold makes what is reserved n bytes, or what a single upload may have if that is less. It is called after arrived.
func (u *upload) hold(n int64) error {
	n = max(0, min(n, room(u.budget.limit, n)-int64(cap(u.bytes()))))
	if n > u.reserved {
		return u.reserve(n - u.reserved)
	}
	u.budget.give(u, u.reserved-n)
	u.reserved = n
	return nil
}

// reserve takes memory for a decoder, until close.
func (u *upload) reserve(n int64) error {
	if err := u.budget.take(u.request.Context(), u, n); err != nil {
		return err
	}
	u.reserved += n
	return nil
}

// release ends the decoder and gives its memory back.
func (u *upload) release() {
	if u.decoder != nil {
		u.decoder.end()
		u.decoder = nil
	}
	if u.reserved > 0 {
		u.budget.give(u, u.reserved)
		u.reserved = 0
	}
}

// decoder reads decoded bytes. Its errors are those of the upload, or say that the content is broken.
type decoder struct {
	from io.Reader
	end  func()
}

// Read implements io.Reader.
func (d *decoder) Read(p []byte) (int, error) {
	n, err := d.from.Read(p)
	if err == nil || err == io.EOF { //nolint:errorlint // an incomplete body wraps io.EOF
		return n, err
	}
	return n, codingError(err)
}

// codingError is the error of a decoder: the upload's own ones stay as they are.
func codingError(err error) error {
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(e.Limit)
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "The body is not compressed as its Content-Encoding says",
		Hint: "send the image file as it is, without Content-Encoding", Err: err}
}

// untransferred decodes a part of a form with a Content-Transfer-Encoding. mime/multipart decodes quoted-printable.
func untransferred(r io.Reader, encoding string) (io.Reader, error) {
	switch encoding = strings.ToLower(strings.TrimSpace(encoding)); encoding {
	case "", "binary", "8bit", "7bit", "quoted-printable":
		return r, nil
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r), nil
	}
	return nil, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported,
		Message: fmt.Sprintf("Content-Transfer-Encoding %q is not supported", logs.Clip(encoding)), Hint: "use binary or base64"}
}
