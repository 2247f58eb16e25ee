package httpx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
)

// MaxImageBytes is the default limit on an uploaded image: 10 MiB.
const MaxImageBytes = 10 << 20

const (
	imageField   = "image"  // the form field of the prototype's clients
	unnamed      = "upload" // what a raw body without a name is called
	maxNameBytes = 255      // what file systems allow; names go into logs and answers
	formOverhead = 64 << 10 // room for boundaries, part headers and small fields beside the image
)

// ReadImage reads the image of an upload into buf and returns it with its name: from the field "image" of a
// multipart form, or from a raw body of an image media type, whose name may stand in Content-Disposition or
// in ?filename=. The image's bytes are buf's and live as long as buf keeps them. Errors are CodeInvalid for
// a missing image, an empty name or a body that breaks off, CodeTooLarge beyond limit bytes (from
// Content-Length, before anything is read, where there is one), and CodeUnsupported for other bodies.
func ReadImage(w http.ResponseWriter, r *http.Request, limit int64, buf *bytes.Buffer) (resnet18cloud.Image, error) {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil && r.Header.Get("Content-Type") != "":
		return resnet18cloud.Image{}, invalid("Content-Type is malformed", err)
	case mediaType == "multipart/form-data":
		if r.ContentLength > limit+formOverhead {
			return resnet18cloud.Image{}, tooLarge(limit)
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit+formOverhead)
		makeRoom(buf, r.ContentLength)
		return readForm(multipart.NewReader(r.Body, params["boundary"]), limit, buf)
	case strings.HasPrefix(mediaType, "image/"), mediaType == "application/octet-stream":
		if r.ContentLength > limit {
			return resnet18cloud.Image{}, tooLarge(limit)
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit+1)
		makeRoom(buf, r.ContentLength)
		image, err := readBytes(r.Body, rawName(r), limit, buf)
		if err == nil && len(image.Bytes) == 0 {
			return resnet18cloud.Image{}, noImage()
		}
		return image, err
	case mediaType == "", mediaType == "application/x-www-form-urlencoded":
		// What curl sends without a body, or with -d: a form, but none that can hold a file.
		return resnet18cloud.Image{}, noImage()
	}
	return resnet18cloud.Image{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported,
		Message: fmt.Sprintf("Content-Type %s is not supported", mediaType),
		Hint:    "send multipart/form-data with the field image, or the file itself with Content-Type: image/jpeg"}
}

// trustedBytes is how much memory a client gets for announcing what it will send; beyond it has to come first.
const trustedBytes = 256 << 10

// makeRoom has buf take what was announced without growing again and again.
func makeRoom(buf *bytes.Buffer, announced int64) {
	buf.Reset()
	if announced > 0 {
		buf.Grow(int(min(announced, trustedBytes)) + bytes.MinRead)
	}
}

// EachImage reads every image of a multipart form, at most n, from fields named image or images, each into
// buf, and calls use with it or with what is wrong with it (CodeInvalid for an empty name, CodeTooLarge);
// use must not keep the bytes. It returns an error when the form itself is wrong: none, broken off, without
// images, or with more than n.
func EachImage(w http.ResponseWriter, r *http.Request, limit int64, n int, buf *bytes.Buffer,
	use func(resnet18cloud.Image, error)) error {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: "A batch is multipart/form-data",
			Hint: "curl -F image=@a.jpg -F image=@b.jpg"}
	}
	r.Body = http.MaxBytesReader(w, r.Body, int64(n)*(limit+formOverhead))
	form := multipart.NewReader(r.Body, params["boundary"])
	for found := 0; ; found++ {
		image, err := nextImage(form, limit, buf)
		switch e := resnet18cloud.AsError(err); {
		case err == io.EOF && found == 0:
			return noImage()
		case err == io.EOF:
			return nil
		case e != nil && e.Err != nil:
			return err
		case found == n:
			return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
				Message: fmt.Sprintf("A batch holds at most %d images", n), Hint: "send the rest in another"}
		}
		use(image, err)
	}
}

// readForm takes the first image of a form.
func readForm(form *multipart.Reader, limit int64, buf *bytes.Buffer) (resnet18cloud.Image, error) {
	image, err := nextImage(form, limit, buf)
	if err == io.EOF {
		return image, noImage()
	}
	return image, err
}

// nextImage takes the next file in a field named image or images. Parts before it are skipped unread. It
// returns io.EOF when there is none.
func nextImage(form *multipart.Reader, limit int64, buf *bytes.Buffer) (resnet18cloud.Image, error) {
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return resnet18cloud.Image{}, io.EOF
		}
		if err != nil {
			return resnet18cloud.Image{}, bodyError("multipart form is malformed", err, limit)
		}
		if part.FormName() != imageField && part.FormName() != imageField+"s" {
			continue
		}
		_, disposition, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		name, isFile := disposition["filename"]
		if !isFile { // an ordinary field that happens to have the name
			continue
		}
		if name == "" {
			return resnet18cloud.Image{}, &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid,
				Message: "Empty filename", Hint: "give the image a name: curl -F image=@picture.jpg"}
		}
		return readBytes(part, cleanName(name), limit, buf)
	}
}

func readBytes(r io.Reader, name string, limit int64, buf *bytes.Buffer) (resnet18cloud.Image, error) {
	buf.Reset()
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return resnet18cloud.Image{}, bodyError("image did not arrive whole", err, limit)
	}
	if n > limit {
		return resnet18cloud.Image{}, tooLarge(limit)
	}
	return resnet18cloud.Image{Name: name, Bytes: buf.Bytes()}, nil
}

// bodyError tells a body over the limit from a client that went away and from plain nonsense.
func bodyError(message string, err error, limit int64) error {
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
		Hint: "send it in the form field image: curl -F image=@picture.jpg"}
}

func tooLarge(limit int64) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
		Message: fmt.Sprintf("Image is larger than %.4g MiB", float64(limit)/(1<<20)),
		Hint:    "send a smaller or more compressed image; the network sees 224x224 pixels anyway"}
}

// rawName is the name of an image sent as a bare body.
func rawName(r *http.Request) string {
	if _, params, err := mime.ParseMediaType(r.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		return cleanName(params["filename"])
	}
	if name := r.URL.Query().Get("filename"); name != "" {
		return cleanName(name)
	}
	return unnamed
}

// cleanName keeps the last element of a path in either notation, valid UTF-8, of a bounded length.
func cleanName(name string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, "\uFFFD"), `\`, "/"))
	if len(name) > maxNameBytes {
		name = strings.ToValidUTF8(name[:maxNameBytes], "")
	}
	return name
}
