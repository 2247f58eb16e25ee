package httpx_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

const limit = 100

// form returns a multipart body of one part with the given Content-Disposition parameters.
func form(disposition, content string) string {
	return "--b\r\nContent-Disposition: form-data; " + disposition +
		"\r\nContent-Type: image/jpeg\r\n\r\n" + content + "\r\n--b--\r\n"
}

// readImage reads the image of a request without a connection.
func readImage(r *http.Request) (image resnet18cloud.Image, err error) {
	err = httpx.NewUploads(httpx.UploadLimits{ImageBytes: limit}).Image(httptest.NewRecorder(), r, func(i resnet18cloud.Image) error {
		image = resnet18cloud.Image{Name: i.Name, Bytes: bytes.Clone(i.Bytes)}
		return nil
	})
	return image, err
}

func TestReadImage(t *testing.T) {
	t.Parallel()
	const multi = "multipart/form-data; boundary=b"
	tests := map[string]struct {
		contentType string
		encoding    string
		disposition string
		path        string
		body        string
		name        string
		code        resnet18cloud.Code
		message     string
	}{
		"form":                {contentType: multi, body: form(`name="image"; filename="a.jpg"`, "xyz"), name: "a.jpg"},
		"form, unix path":     {contentType: multi, body: form(`name="image"; filename="../../etc/a.jpg"`, "xyz"), name: "a.jpg"},
		"form, windows path":  {contentType: multi, body: form(`name="image"; filename="C:\\Users\\a.jpg"`, "xyz"), name: "a.jpg"},
		"form, long name":     {contentType: multi, body: form(`name="image"; filename="`+strings.Repeat("é", 300)+`"`, "xyz"), name: strings.Repeat("é", 127)},
		"form, exactly limit": {contentType: multi, body: form(`name="image"; filename="a.jpg"`, strings.Repeat("x", limit)), name: "a.jpg"},
		"form, second part":   {contentType: multi, body: strings.TrimSuffix(form(`name="_k"`, "v"), "--b--\r\n") + form(`name="image"; filename="a.jpg"`, "xyz"), name: "a.jpg"},
		"form, other field":   {contentType: multi, body: form(`name="picture"; filename="a.jpg"`, "xyz"), code: resnet18cloud.CodeInvalid, message: `There is no form field "picture"`},
		"form, not a file":    {contentType: multi, body: form(`name="image"`, "xyz"), code: resnet18cloud.CodeInvalid, message: "No image provided"},
		"form, no name":       {contentType: multi, body: form(`name="image"; filename=""`, "xyz"), code: resnet18cloud.CodeInvalid, message: "Empty filename"},
		"form, over limit":    {contentType: multi, body: form(`name="image"; filename="a.jpg"`, strings.Repeat("x", limit+1)), code: resnet18cloud.CodeTooLarge},
		"form, far over":      {contentType: multi, body: form(`name="image"; filename="a.jpg"`, strings.Repeat("x", 1<<20)), code: resnet18cloud.CodeTooLarge},
		"form, padded":        {contentType: multi, body: strings.TrimSuffix(form(`name="_k"`, strings.Repeat("v", 1<<20)), "--b--\r\n") + form(`name="image"; filename="a.jpg"`, "xyz"), code: resnet18cloud.CodeTooLarge},
		"form, cut":           {contentType: multi, body: form(`name="image"; filename="a.jpg"`, "xyz")[:80], code: resnet18cloud.CodeInvalid},
		"form, no boundary":   {contentType: "multipart/form-data", body: form(`name="image"; filename="a.jpg"`, "xyz"), code: resnet18cloud.CodeInvalid},
		"raw":                 {contentType: "image/jpeg", body: "xyz", name: "upload"},
		"raw, named in path":  {contentType: "image/png", path: "/?filename=dir/b.png", body: "xyz", name: "b.png"},
		"raw, named":          {contentType: "image/png", disposition: `attachment; filename="b.png"`, body: "xyz", name: "b.png"},
		"raw, any bytes":      {contentType: "application/octet-stream", body: "xyz", name: "upload"},
		"form, empty file":    {contentType: multi, body: form(`name="image"; filename="a.jpg"`, ""), code: resnet18cloud.CodeInvalid, message: "No image provided"},
		"raw, empty":          {contentType: "image/jpeg", code: resnet18cloud.CodeInvalid, message: "No image provided"},
		"raw, over limit":     {contentType: "image/jpeg", body: strings.Repeat("x", limit+1), code: resnet18cloud.CodeTooLarge},
		"nothing":             {code: resnet18cloud.CodeInvalid, message: "No image provided"},
		"url-encoded":         {contentType: "application/x-www-form-urlencoded", body: "image=xyz", code: resnet18cloud.CodeInvalid, message: "No image provided"},
		"JSON":                {contentType: "application/json", body: "{}", code: resnet18cloud.CodeUnsupported},
		"raw, brotli":         {contentType: "image/jpeg", encoding: "br", body: "xyz", code: resnet18cloud.CodeUnsupported, message: `Content-Encoding "br" is not supported`},
		"form, two codings":   {contentType: multi, encoding: "gzip, zstd", body: "xyz", code: resnet18cloud.CodeUnsupported},
		"raw, not gzip":       {contentType: "image/jpeg", encoding: "gzip", body: "xyz", code: resnet18cloud.CodeInvalid},
		"raw, not zstd":       {contentType: "image/jpeg", encoding: "zstd", body: "xyz", code: resnet18cloud.CodeInvalid},
		"raw, identity":       {contentType: "image/jpeg", encoding: "identity", body: "xyz", name: "upload"},
		"malformed type":      {contentType: "image/", body: "xyz", code: resnet18cloud.CodeInvalid},
	}
	for name, test := range tests {
		for _, chunked := range []bool{false, true} { // with and without Content-Length
			t.Run(fmt.Sprintf("%s/chunked=%t", name, chunked), func(t *testing.T) {
				t.Parallel()
				path := test.path
				if path == "" {
					path = "/"
				}
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(test.body))
				if chunked {
					r.ContentLength = -1
				}
				r.Header.Set("Content-Type", test.contentType)
				r.Header.Set("Content-Disposition", test.disposition)
				r.Header.Set("Content-Encoding", test.encoding)
				image, err := readImage(r)
				if test.code != "" {
					e := resnet18cloud.AsError(err)
					if e == nil || e.Code != test.code {
						t.Fatalf("Image: %v, want code %s", err, test.code)
					}
					if test.message != "" && e.Message != test.message {
						t.Errorf("message %q, want %q", e.Message, test.message)
					}
					return
				}
				if err != nil {
					t.Fatalf("Image: %v", err)
				}
				if image.Name != test.name {
					t.Errorf("name %q, want %q", image.Name, test.name)
				}
				if !strings.Contains(test.body, string(image.Bytes)) || len(image.Bytes) < 3 {
					t.Errorf("bytes %q are not those of the body", image.Bytes)
				}
			})
		}
	}
}

// TestReadImageRefusesBeforeReading checks that a body whose announced size is too large is not read at all.
func TestReadImageRefusesBeforeReading(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"image/jpeg", "multipart/form-data; boundary=b"} {
		r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(unreadable{t}))
		r.ContentLength = 1 << 30
		r.Header.Set("Content-Type", contentType)
		_, err := readImage(r)
		if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeTooLarge {
			t.Errorf("%s: Image: %v, want code %s", contentType, err, resnet18cloud.CodeTooLarge)
		}
	}
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("body was read")
	return 0, io.EOF
}

// FuzzReadImage checks that no body makes the reader panic or exceed its limit.
func FuzzReadImage(f *testing.F) {
	f.Add("multipart/form-data; boundary=b", form(`name="image"; filename="a.jpg"`, "xyz"))
	f.Add("image/jpeg", "xyz")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header["Content-Type"] = []string{contentType}
		image, err := readImage(r)
		if err == nil && (len(image.Bytes) > limit || image.Name == "") {
			t.Errorf("accepted %d bytes named %q", len(image.Bytes), image.Name)
		}
	})
}
