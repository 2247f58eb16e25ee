package httpx

import (
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

const (
	imageField   = "image"  // the form field of the prototype's clients
	unnamed      = "upload" // what a raw body without a name is called
	maxNameBytes = 255      // what file systems allow; names go into logs and answers
	formOverhead = 64 << 10 // room for boundaries, part headers and small fields beside the image
)

// Image reads the image of an upload and calls use with it: from the field "image" of a multipart form, or from a raw
// body of an image media type, whose name may stand in Content-Disposition or in ?filename=. The image's bytes are
// reused after use has returned. Errors are those of use, CodeInvalid for a missing image, an empty name or a body that
// breaks off, CodeTooLarge for more bytes than the limit (before anything is read, where Content-Length says so),
// CodeUnsupported for other bodies, CodeSlow and CodeFull as [Uploads] says.
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
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil && r.Header.Get("Content-Type") != "":
		return resnet18cloud.Image{}, invalid("Content-Type is malformed", err)
	case isEncoded(r):
		return resnet18cloud.Image{}, errEncoded(r)
	case mediaType == "multipart/form-data":
		if r.ContentLength > limit+formOverhead {
			return resnet18cloud.Image{}, tooLarge(limit)
		}
		body := http.MaxBytesReader(w, io.NopCloser(up), limit+formOverhead)
		return readForm(multipart.NewReader(body, params["boundary"]), body, up, limit)
	case strings.HasPrefix(mediaType, "image/"), mediaType == "application/octet-stream":
		if r.ContentLength > limit {
			return resnet18cloud.Image{}, tooLarge(limit)
		}
		image, err := readBytes(up, rawName(r), up, limit)
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

// Images reads every image of a multipart form, at most n, from fields named image or images, and calls use with each
// or with what is wrong with it (CodeInvalid for an empty name, CodeTooLarge). The bytes are reused after use has
// returned. It returns an error when the form itself is wrong: none, broken off, without images, or with more than n,
// and CodeSlow and CodeFull as [Uploads] says.
func (u *Uploads) Images(w http.ResponseWriter, r *http.Request, n int, use func(resnet18cloud.Image, error)) error {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || mediaType != "multipart/form-data":
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported, Message: "A batch is multipart/form-data",
			Hint: "curl -F image=@a.jpg -F image=@b.jpg"}
	case isEncoded(r):
		return errEncoded(r)
	}
	up := u.open(w, r)
	defer up.close()
	limit := u.limits.ImageBytes
	body := http.MaxBytesReader(w, io.NopCloser(up), int64(n)*(limit+formOverhead))
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
				Message: fmt.Sprintf("A batch holds at most %d images", n), Hint: "send the rest in another"}
		}
		use(image, err)
	}
}

// readForm takes the first image of a form, and reads the rest of the form.
func readForm(form *multipart.Reader, body io.Reader, up *upload, limit int64) (resnet18cloud.Image, error) {
	image, err := nextImage(form, up, limit)
	if err == io.EOF { //nolint:errorlint // a form that is broken off wraps io.EOF
		return image, noImage()
	}
	if err == nil {
		err = readRest(body)
	}
	return image, err
}

// readRest reads what follows the last image of a form: until the server has seen the end of the body, it does not
// notice that the client leaves. A rest that is too long or breaks off does no harm to the image.
func readRest(body io.Reader) error {
	_, err := io.Copy(io.Discard, io.LimitReader(body, formOverhead))
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return e
	}
	return nil
}

// nextImage takes the next file in a field named image or images. Parts before it are skipped unread. It
// returns io.EOF when there is none.
func nextImage(form *multipart.Reader, up *upload, limit int64) (resnet18cloud.Image, error) {
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
		return readBytes(part, cleanName(name), up, limit)
	}
}

// readBytes reads an image from r into the memory of the upload, which grows when a byte has come that does not fit.
func readBytes(r io.Reader, name string, up *upload, limit int64) (resnet18cloud.Image, error) {
	up.drop() // the image before
	for {
		n, err := up.fill(r, limit)
		switch e, refused := errors.AsType[*resnet18cloud.Error](err); {
		case refused:
			return resnet18cloud.Image{}, e
		case n > limit:
			return resnet18cloud.Image{}, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return resnet18cloud.Image{Name: name, Bytes: up.bytes()}, nil
		case err != nil:
			return resnet18cloud.Image{}, bodyError("image did not arrive whole", err, limit)
		}
	}
}

// bodyError tells a body over the limit and a slow client from one that went away and from a malformed body.
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

// isEncoded reports whether the body is compressed.
func isEncoded(r *http.Request) bool {
	coding := r.Header.Get("Content-Encoding")
	return coding != "" && !strings.EqualFold(coding, "identity")
}

func errEncoded(r *http.Request) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsupported,
		Message: fmt.Sprintf("Content-Encoding %q is not supported", r.Header.Get("Content-Encoding")),
		Hint:    "send the image as it is; image formats are compressed already"}
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
