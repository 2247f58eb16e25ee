package httpx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

const (
	imageField   = "image"  // the form field of the prototype's clients
	unnamed      = "upload" // name of a raw body without a name
	maxNameBytes = 255      // limit of file systems; names appear in logs and responses
	formOverhead = 64 << 10 // space for boundaries, part headers and small fields besides the image
)

// Image reads the image of an upload and calls use with it. The image is the field "image" of a multipart form, or a
// raw body with an image media type, or with none and the content of an image; its name may be in Content-Disposition or in
// ?filename=. Bodies may be compressed with gzip or zstd; limits apply to what comes out. The image's bytes are
// reused after use returns. Errors are those of use, CodeInvalid for a missing image, an empty name or an incomplete
// body, CodeTooLarge for an image above the limit (before reading anything, if Content-Length says so),
// CodeUnsupported for other bodies, and CodeSlow and CodeFull as described at [Uploads].
func (u *Uploads) Image(w http.ResponseWriter, r *http.Request, use func(resnet18cloud.Image) error) error {
	up := u.open(w, r)
	defer up.close()
	image, err := u.readImage(w, up)
	if err != nil {
		return err
	}
	if err := up.arrived(); err != nil {
		return err
	}
	return use(image)
}

func (u *Uploads) readImage(w http.ResponseWriter, up *upload) (resnet18cloud.Image, error) {
	r, limit := up.request, u.limits.ImageBytes
	contentType := r.Header.Get("Content-Type")
	mediaType, params, ok := parseParams(contentType)
	if !ok && contentType != "" {
		return resnet18cloud.Image{}, invalid("Content-Type is malformed", nil)
	}
	form := mediaType == "multipart/form-data"
	switch named := strings.HasPrefix(mediaType, "image/") || mediaType == "application/octet-stream"; {
	case !form && !named && mediaType != "" && mediaType != formURLEncoded:
		return resnet18cloud.Image{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported,
			Message: fmt.Sprintf("Content-Type %s is not supported", logs.Clip(mediaType)),
			Hint:    "send multipart/form-data with the field image, or the file itself with Content-Type: image/jpeg"}
	case form && r.ContentLength > limit+formOverhead, !form && r.ContentLength > limit:
		return resnet18cloud.Image{}, tooLarge(limit)
	}
	source, err := up.decoded(w, limit+formOverhead)
	switch {
	case err != nil:
		return resnet18cloud.Image{}, err
	case form:
		body := http.MaxBytesReader(w, io.NopCloser(source), limit+formOverhead)
		return readForm(multipart.NewReader(body, params["boundary"]), body, up, limit)
	case mediaType == "", mediaType == formURLEncoded:
		return readUntyped(source, mediaType, rawName(r), up, limit)
	}
	return readBytes(source, rawName(r), up, limit)
}

// formURLEncoded is the type that curl names with -d and --data-binary, whatever they send.
const formURLEncoded = "application/x-www-form-urlencoded"

// readUntyped reads a raw body whose type says nothing about it: its content decides.
func readUntyped(r io.Reader, mediaType, name string, up *upload, limit int64) (resnet18cloud.Image, error) {
	start, err := peek(r)
	switch {
	case err != nil:
		return resnet18cloud.Image{}, bodyError("incomplete image", err, limit)
	case looksLikeImage(start):
		return readBytes(io.MultiReader(bytes.NewReader(start), r), name, up, limit)
	case len(start) == 0 || mediaType == formURLEncoded: // a form that cannot contain a file
		return resnet18cloud.Image{}, noImage()
	}
	return resnet18cloud.Image{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: "The body is not an image of a known format",
		Hint: "send a JPEG, PNG, GIF, BMP or WebP file, with Content-Type: image/jpeg or as the form field image"}
}

// peek reads the signature of a file, less if the file is shorter.
func peek(r io.Reader) ([]byte, error) {
	start := make([]byte, signatureBytes)
	n, err := io.ReadFull(r, start)
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // ReadFull returns these for a file that ends
		err = nil
	}
	return start[:n], err
}

// Images reads the images of a multipart form, at most n, from fields named image or images, and calls use with each
// image or its error (CodeInvalid for an empty name, CodeTooLarge). The bytes are reused after use returns. It
// returns an error if the form itself is invalid: missing, incomplete, without images, or with more than n, and
// CodeSlow and CodeFull as described at [Uploads].
func (u *Uploads) Images(w http.ResponseWriter, r *http.Request, n int, use func(resnet18cloud.Image, error)) error {
	mediaType, params, _ := parseParams(r.Header.Get("Content-Type"))
	if mediaType != "multipart/form-data" {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: "A batch must be multipart/form-data",
			Hint: "for example: curl -F image=@a.jpg -F image=@b.jpg"}
	}
	up := u.open(w, r)
	defer up.close()
	limit := u.limits.ImageBytes
	most := int64(n) * (limit + formOverhead)
	source, err := up.decoded(w, most)
	if err != nil {
		return err
	}
	body := http.MaxBytesReader(w, io.NopCloser(source), most)
	form := multipart.NewReader(body, params["boundary"])
	for found := 0; ; found++ {
		image, err := nextImage(form, up, limit)
		switch e := resnet18cloud.AsError(err); {
		case err == io.EOF && found == 0: //nolint:errorlint // a form that is broken off wraps io.EOF
			return noImage()
		case err == io.EOF: //nolint:errorlint // as above
			if err := readRest(body); err != nil {
				return err
			}
			return up.arrived()
		case e != nil && e.Err != nil:
			return err
		case found == n:
			return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
				Message: fmt.Sprintf("A batch may have at most %d images", n), Hint: "send the rest in another batch"}
		}
		use(image, err)
	}
}

// readForm returns the first image of a form, and reads the rest of the form.
func readForm(form *multipart.Reader, body io.Reader, up *upload, limit int64) (resnet18cloud.Image, error) {
	image, err := nextImage(form, up, limit)
	if err == io.EOF { //nolint:errorlint // a form that is broken off wraps io.EOF
		return image, noImage()
	}
	if err == nil {
		err = nothingElse(form)
	}
	if err == nil {
		err = readRest(body)
	}
	return image, err
}

// nothingElse reads the fields after the only image of a form. It returns an error for a field that is not known, and for
// another image. That the rest is incomplete or long does not affect the image.
func nothingElse(form *multipart.Reader) error {
	for {
		var f field
		part, err := form.NextPart()
		if err == nil {
			f, err = openField(part)
		}
		if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
			return e
		}
		if err != nil {
			return nil //nolint:nilerr // the image is complete
		}
		if f.image && f.name != "" { // browsers send an empty name where no file was chosen
			return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "There is more than one image",
				Hint: "send one image, or all of them to /predict_batch"}
		}
	}
}

// readRest reads the form after its last image: the server notices that the client disconnects only after the end of
// the body. An incomplete or long rest does not affect the image.
func readRest(body io.Reader) error {
	_, err := io.Copy(io.Discard, io.LimitReader(body, formOverhead))
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return e
	}
	return nil
}

// field is a part of a form that is an image, or that means nothing.
type field struct {
	image   bool
	name    string // of the file; empty if the client has given an empty one
	content io.Reader
}

// openField returns what a part is. Fields that are named image or images have an image if they are files, or if their content
// is a file's. The error is that of a field that is not known.
func openField(part *multipart.Part) (f field, err error) {
	_, disposition, _ := parseParams(part.Header.Get("Content-Disposition"))
	if name := disposition["name"]; name != imageField && name != imageField+"s" {
		value, err := io.ReadAll(io.LimitReader(part, maxValueBytes))
		if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
			return f, e
		}
		return f, unknownField(name, string(value))
	}
	if f.content, err = untransferred(part, part.Header.Get("Content-Transfer-Encoding")); err != nil {
		return f, err
	}
	name, isFile := disposition["filename"]
	if isFile {
		if name != "" {
			name = cleanName(name)
		}
		f.image, f.name = true, name
		return f, nil
	}
	start, err := peek(f.content)
	f.image, f.name, f.content = looksLikeImage(start), unnamed, io.MultiReader(bytes.NewReader(start), f.content)
	return f, err
}

// maxValueBytes is how much is read of the value of a form field that is not known, for the hint.
const maxValueBytes = 100

// nextImage returns the next file in a field named image or images. It returns io.EOF if there is none, and an error for a
// field that is not known.
func nextImage(form *multipart.Reader, up *upload, limit int64) (resnet18cloud.Image, error) {
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return resnet18cloud.Image{}, io.EOF
		}
		if err != nil {
			return resnet18cloud.Image{}, bodyError("multipart form is malformed", err, limit)
		}
		f, err := openField(part)
		switch {
		case err != nil:
			return resnet18cloud.Image{}, bodyError("multipart form is malformed", err, limit)
		case f.image && f.name == "":
			return resnet18cloud.Image{}, &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid,
				Message: "Empty filename", Hint: "give the image a name: curl -F image=@picture.jpg"}
		case f.image:
			return readBytes(f.content, f.name, up, limit)
		}
	}
}

// readBytes reads an image from r into the upload's memory, which grows when a byte arrives that does not fit.
func readBytes(r io.Reader, name string, up *upload, limit int64) (resnet18cloud.Image, error) {
	up.drop() // the previous image
	for {
		n, err := up.fill(r, limit)
		switch e, refused := errors.AsType[*resnet18cloud.Error](err); {
		case refused:
			return resnet18cloud.Image{}, e
		case n > limit:
			return resnet18cloud.Image{}, tooLarge(limit)
		case err == io.EOF && n == 0: //nolint:errorlint // an incomplete form wraps io.EOF
			return resnet18cloud.Image{}, noImage()
		case err == io.EOF: //nolint:errorlint // as above
			return resnet18cloud.Image{Name: name, Bytes: up.bytes()}, nil
		case err != nil:
			return resnet18cloud.Image{}, bodyError("incomplete image", err, limit)
		}
	}
}

// bodyError distinguishes a body over the limit and a slow client from a client that disconnected and a malformed
// body.
func bodyError(message string, err error, limit int64) error {
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(limit)
	}
	return invalid(message, err)
}

func invalid(message string, err error) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid,
		Message: strings.ToUpper(message[:1]) + message[1:], Err: err}
}

func noImage() error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "No image provided",
		Hint: "send a file that is not empty in the form field image: curl -F image=@picture.jpg"}
}

func tooLarge(limit int64) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
		Message: fmt.Sprintf("Image is larger than %.4g MiB", float64(limit)/(1<<20)),
		Hint:    "send a smaller or more compressed image; networks read at most 320x320 pixels"}
}

// rawName returns the name of an image sent as a raw body.
func rawName(r *http.Request) string {
	if _, params, _ := parseParams(r.Header.Get("Content-Disposition")); params["filename"] != "" {
		return cleanName(params["filename"])
	}
	if name := r.URL.Query().Get(paramFilename); name != "" {
		return cleanName(name)
	}
	return unnamed
}

// cleanName returns the last element of a path in Unix or Windows notation, as valid UTF-8 of limited length.
func cleanName(name string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, "\uFFFD"), `\`, "/"))
	if len(name) > maxNameBytes {
		name = strings.ToValidUTF8(name[:maxNameBytes], "")
	}
	return name
}
