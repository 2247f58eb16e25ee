package httpx_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// jpeg is the start of a JPEG file and then nothing.
const jpeg = "\xff\xd8\xff\xe0 and the rest"

// compressed returns text in a coding.
func compressed(t testing.TB, coding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if coding == "zstd" {
		var err error
		if w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCompressedBodies checks that compressed bodies are decoded, with the limits of what comes out, and that the memory
// of decoders is given back.
func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	const multi = "multipart/form-data; boundary=b"
	for _, coding := range []string{"gzip", "zstd"} {
		pack := func(text string) string { return compressed(t, coding, text) }
		for name, test := range map[string]struct {
			contentType, body, want string
			code                    resnet18cloud.Code
		}{
			"raw":              {"image/jpeg", pack("xyz"), "xyz", ""},
			"two members":      {"image/jpeg", pack("xy") + pack("z"), "xyz", ""},
			"form":             {multi, pack(form(`name="image"; filename="a.jpg"`, "xyz")), "xyz", ""},
			"no type":          {"", pack(jpeg), jpeg, ""},
			"at the limit":     {"image/jpeg", pack(strings.Repeat("x", limit)), strings.Repeat("x", limit), ""},
			"over the limit":   {"image/jpeg", pack(strings.Repeat("x", limit+1)), "", resnet18cloud.CodeTooLarge},
			"bomb":             {"image/jpeg", pack(strings.Repeat("x", 8<<20)), "", resnet18cloud.CodeTooLarge},
			"bomb in a form":   {multi, pack(form(`name="_k"`, strings.Repeat("x", 8<<20))), "", resnet18cloud.CodeTooLarge},
			"nothing inside":   {"image/jpeg", pack(""), "", resnet18cloud.CodeInvalid},
			"cut":              {"image/jpeg", pack(strings.Repeat("xyz", 20))[:20], "", resnet18cloud.CodeInvalid},
			"nothing":          {"image/jpeg", "", "", resnet18cloud.CodeInvalid},
			"not compressed":   {"image/jpeg", jpeg, "", resnet18cloud.CodeInvalid},
			"broken after it":  {"image/jpeg", pack("xyz") + "xyz", "", resnet18cloud.CodeInvalid},
			"compressed twice": {"", pack(pack(jpeg)), "", resnet18cloud.CodeUnsupported},
		} {
			u := httpx.NewUploads(httpx.UploadLimits{ImageBytes: limit, TotalBytes: 64 << 20})
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			r.Header.Set("Content-Encoding", coding)
			got := ""
			err := u.Image(httptest.NewRecorder(), r, func(i resnet18cloud.Image) error {
				got = string(i.Bytes)
				if u.Held() > 1<<20 {
					t.Errorf("%s, %s: %d bytes are held while the image is used", coding, name, u.Held())
				}
				return nil
			})
			switch e := resnet18cloud.AsError(err); {
			case test.code == "" && (err != nil || got != test.want):
				t.Errorf("%s, %s: %q, %v; want %q", coding, name, got, err, test.want)
			case test.code != "" && (e == nil || e.Code != test.code):
				t.Errorf("%s, %s: %q, %v; want code %s", coding, name, got, err, test.code)
			}
			if u.Held() != 0 {
				t.Errorf("%s, %s: %d bytes are still held", coding, name, u.Held())
			}
		}
	}
}

// TestLargeWindows checks that a body whose decoder would need much memory is refused by its header.
func TestLargeWindows(t *testing.T) {
	t.Parallel()
	// Magic number, no checksum and no size, windows of 8 MiB and of 2 GiB (RFC 8878, section 3.1.1.1.2), and an empty last block.
	for window, want := range map[byte]resnet18cloud.Code{13 << 3: resnet18cloud.CodeInvalid, 21 << 3: resnet18cloud.CodeUnsupported} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("\x28\xb5\x2f\xfd\x00"+string([]byte{window, 1, 0, 0})))
		r.Header.Set("Content-Type", "image/jpeg")
		r.Header.Set("Content-Encoding", "zstd")
		if _, err := readImage(r); resnet18cloud.AsError(err).Code != want {
			t.Errorf("window %d: %v, want code %s", window>>3, err, want)
		}
	}
	// A later frame must not have a larger one.
	small := compressed(t, "zstd", "xyz")
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(small+"\x28\xb5\x2f\xfd\x00"+string([]byte{13 << 3, 1, 0, 0})))
	r.Header.Set("Content-Type", "image/jpeg")
	r.Header.Set("Content-Encoding", "zstd")
	if _, err := readImage(r); resnet18cloud.AsError(err) == nil {
		t.Error("a second frame with a larger window is decoded")
	}
}

// TestSingleSegments checks frames without a window of their own, as programs write them that know the size: the content is
// the window.
func TestSingleSegments(t *testing.T) {
	t.Parallel()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for size, want := range map[int]resnet18cloud.Code{500: "", 5000: "", 300_000: "", 8 << 20: "", 8<<20 + 1: resnet18cloud.CodeUnsupported} {
		text := strings.Repeat("x", size)
		u := httpx.NewUploads(httpx.UploadLimits{ImageBytes: 9 << 20})
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(e.EncodeAll([]byte(text), nil)))
		r.Header.Set("Content-Type", "image/jpeg")
		r.Header.Set("Content-Encoding", "zstd")
		got := ""
		err := u.Image(httptest.NewRecorder(), r, func(i resnet18cloud.Image) error {
			got = string(i.Bytes)
			return nil
		})
		switch e := resnet18cloud.AsError(err); {
		case want == "" && (err != nil || got != text):
			t.Errorf("%d bytes: %d bytes, %v", size, len(got), err)
		case want != "" && (e == nil || e.Code != want):
			t.Errorf("%d bytes: %v, want code %s", size, err, want)
		}
	}
}

// repeater reads a text again and again, and counts its bytes.
type repeater struct {
	text string
	n    int
}

func (r *repeater) Read(p []byte) (int, error) {
	if r.n > 8<<20 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.n%len(r.text):])
	r.n += n
	return n, nil
}

// TestEndlessNothing checks that a body whose members decode to nothing is limited too.
func TestEndlessNothing(t *testing.T) {
	t.Parallel()
	const skippable = "\x50\x2a\x4d\x18\x04\x00\x00\x00skip" // RFC 8878, section 3.1.2
	for coding, test := range map[string]struct {
		text string
		want resnet18cloud.Code
	}{
		"gzip": {compressed(t, "gzip", ""), resnet18cloud.CodeTooLarge},
		"zstd": {skippable, resnet18cloud.CodeInvalid}, // its decoder does not say why it could not skip
	} {
		body := &repeater{text: test.text}
		r := httptest.NewRequest(http.MethodPost, "/", body)
		r.Header.Set("Content-Type", "image/jpeg")
		r.Header.Set("Content-Encoding", coding)
		if _, err := readImage(r); resnet18cloud.AsError(err).Code != test.want || body.n > 1<<20 {
			t.Errorf("%s: %v after %d bytes", coding, err, body.n)
		}
	}
}

// TestAsPeopleSend checks bodies that are not quite what standards say, or whose type says nothing.
func TestAsPeopleSend(t *testing.T) {
	t.Parallel()
	const multi = "multipart/form-data; boundary=b"
	part := func(headers, content string) string {
		return "--b\r\n" + headers + "\r\n\r\n" + content + "\r\n--b--\r\n"
	}
	const boundary = `----=_Part/1:2?(x) `
	for name, test := range map[string]struct {
		contentType, body string
		name, want        string
		code              resnet18cloud.Code
	}{
		"name without quotes":      {multi, form(`name="image"; filename=my photo.jpg`, "xyz"), "my photo.jpg", "xyz", ""},
		"nothing in quotes":        {multi, form(`name=image; filename=a(1).jpg`, "xyz"), "a(1).jpg", "xyz", ""},
		"name not in ASCII":        {multi, form(`name="image"; filename=Käfer.jpg`, "xyz"), "Käfer.jpg", "xyz", ""},
		"in quotes, not in ASCII":  {multi, form(`name="image"; filename="Käfer 甲虫.jpg"`, "xyz"), "Käfer 甲虫.jpg", "xyz", ""},
		"name in Latin-1":          {multi, form("name=\"image\"; filename=\"K\xe4fer.jpg\"", "xyz"), "K\uFFFDfer.jpg", "xyz", ""},
		"extended name":            {multi, form(`name="image"; filename*=UTF-8''K%C3%A4fer.jpg`, "xyz"), "Käfer.jpg", "xyz", ""},
		"both names":               {multi, form(`name="image"; filename=a b.jpg; filename*=UTF-8''K%C3%A4fer.jpg`, "xyz"), "Käfer.jpg", "xyz", ""},
		"quote that stays open":    {multi, form(`name="image"; filename="a.jpg`, "xyz"), "a.jpg", "xyz", ""},
		"quoted quote":             {multi, form(`name="image"; filename="a \"b\" c.jpg"; x=a b`, "xyz"), `a "b" c.jpg`, "xyz", ""},
		"no name":                  {multi, form(`name="image"`, jpeg), "upload", jpeg, ""},
		"no name and no image":     {multi, form(`name="image"`, "the picture of last summer"), "", "", resnet18cloud.CodeInvalid},
		"boundary without quotes":  {"multipart/form-data; boundary=----=_Part/1:2?(x)", strings.ReplaceAll(form(`name="image"; filename="a.jpg"`, "xyz"), "--b", "--"+strings.TrimSpace(boundary)), "a.jpg", "xyz", ""},
		"and another parameter":    {"Multipart/Form-Data; charset=utf-8; Boundary=a=b;", strings.ReplaceAll(form(`name="image"; filename="a.jpg"`, "xyz"), "--b", "--a=b"), "a.jpg", "xyz", ""},
		"curl --data-binary":       {"application/x-www-form-urlencoded", jpeg, "upload", jpeg, ""},
		"curl --data":              {"application/x-www-form-urlencoded", "image=a.jpg", "", "", resnet18cloud.CodeInvalid},
		"curl --data, nothing":     {"application/x-www-form-urlencoded", "", "", "", resnet18cloud.CodeInvalid},
		"curl -T":                  {"", jpeg, "upload", jpeg, ""},
		"curl -T, PNG":             {"", "\x89PNG\r\n\x1a\nxyz", "upload", "\x89PNG\r\n\x1a\nxyz", ""},
		"curl -T, WebP":            {"", "RIFF\x01\x02\x03\x04WEBPVP8 ", "upload", "RIFF\x01\x02\x03\x04WEBPVP8 ", ""},
		"curl -T, GIF":             {"", "GIF89a", "upload", "GIF89a", ""},
		"curl -T, BMP":             {"", "BM1234\x00\x00\x00\x00\x36\x00", "upload", "BM1234\x00\x00\x00\x00\x36\x00", ""},
		"curl -T, text":            {"", "BMW is a car", "", "", resnet18cloud.CodeUnsupported},
		"curl -T, nothing":         {"", "", "", "", resnet18cloud.CodeInvalid},
		"Base64 in a part":         {multi, part("Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Transfer-Encoding: Base64", "eHl6\r\neHl6"), "a.jpg", "xyzxyz", ""},
		"no Base64 in a part":      {multi, part("Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Transfer-Encoding: base64", "eHl!"), "", "", resnet18cloud.CodeInvalid},
		"quoted-printable":         {multi, part("Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Transfer-Encoding: quoted-printable", "=FFxyz"), "a.jpg", "\xffxyz", ""},
		"binary":                   {multi, part("Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Transfer-Encoding: binary", "xyz"), "a.jpg", "xyz", ""},
		"unknown transfer coding":  {multi, part("Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Transfer-Encoding: uuencode", "xyz"), "", "", resnet18cloud.CodeUnsupported},
		"Base64 over the limit":    {multi, part("Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Transfer-Encoding: base64", base64.StdEncoding.EncodeToString(make([]byte, limit+1))), "", "", resnet18cloud.CodeTooLarge},
		"an empty file, by a form": {multi, form(`name="image"; filename="a.jpg"`, ""), "", "", resnet18cloud.CodeInvalid},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body))
		r.Header.Set("Content-Type", test.contentType)
		image, err := readImage(r)
		switch e := resnet18cloud.AsError(err); {
		case test.code == "" && (err != nil || image.Name != test.name || string(image.Bytes) != test.want):
			t.Errorf("%s: %q %q, %v; want %q %q", name, image.Name, image.Bytes, err, test.name, test.want)
		case test.code != "" && (e == nil || e.Code != test.code):
			t.Errorf("%s: %q %q, %v; want code %s", name, image.Name, image.Bytes, err, test.code)
		}
	}
}

// TestCurl sends files as curl does, if it is installed.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	u := httpx.NewUploads(httpx.UploadLimits{ImageBytes: 1000})
	server := httptest.NewServer(httpx.Handler(slog.New(slog.DiscardHandler), func(w http.ResponseWriter, r *http.Request) error {
		return u.Image(w, r, func(i resnet18cloud.Image) error {
			_, err := fmt.Fprintf(w, "%s: %s", i.Name, i.Bytes)
			return err
		})
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	path, packed := filepath.Join(dir, "mein Käfer.jpg"), filepath.Join(dir, "a.jpg.gz")
	for path, content := range map[string]string{path: jpeg, packed: compressed(t, "gzip", jpeg)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string][]string{
		"mein Käfer.jpg: " + jpeg: {"-F", "image=@" + path},
		"a b.jpg: " + jpeg:        {"-F", "image=@" + path + ";filename=a b.jpg"},
		"upload: " + jpeg:         {"--data-binary", "@" + path},
		"b: " + jpeg:              {"-X", "POST", "-T", path, "-H", "Content-Disposition: attachment; filename=b"},
		"c: " + jpeg:              {"--data-binary", "@" + packed, "-H", "Content-Encoding: gzip", "-H", "Content-Disposition: attachment; filename=c"},
		"upload: " + jpeg + " ":   {"-F", "image=<" + path},
		"d: " + jpeg:              {"-F", "image=@" + path + ";encoder=base64;filename=d"},
	} {
		out, err := exec.CommandContext(context.Background(), curl, append(args, "-sS", server.URL)...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != strings.TrimSpace(want) {
			t.Errorf("curl %q: %q, %v; want %q", args, out, err, want)
		}
	}
}

// FuzzCompressed checks that no compressed body makes the reader panic or exceed its limit.
func FuzzCompressed(f *testing.F) {
	f.Add("gzip", []byte(compressed(f, "gzip", jpeg)))
	f.Add("zstd", []byte(compressed(f, "zstd", jpeg)))
	f.Fuzz(func(t *testing.T, coding string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header["Content-Encoding"] = []string{coding}
		image, err := readImage(r)
		if err == nil && (len(image.Bytes) > limit || image.Name == "") {
			t.Errorf("accepted %d bytes named %q", len(image.Bytes), image.Name)
		}
	})
}

// TestBodyHolds checks that what uses a body can hold memory of all uploads, at most what there is for one, and that it is
// given back.
func TestBodyHolds(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	u := httpx.NewUploads(httpx.UploadLimits{ImageBytes: 4 * mib, TotalBytes: 16 * mib})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", mib)))
	err := u.Body(httptest.NewRecorder(), r, func(body []byte, hold func(int64) error) error {
		if len(body) != mib || u.Held() != mib {
			t.Errorf("%d bytes, %d are held, want 1 MiB", len(body), u.Held())
		}
		for _, test := range []struct{ n, want int64 }{{3 * mib, 4 * mib}, {2 * mib, 3 * mib}, {100 * mib, 12 * mib}, {0, mib}, {5 * mib, 6 * mib}} {
			if err := hold(test.n); err != nil || u.Held() != test.want {
				t.Errorf("hold(%d): %d are held, %v; want %d", test.n, u.Held(), err, test.want)
			}
		}
		return nil
	})
	if err != nil || u.Held() != 0 {
		t.Errorf("%v; %d bytes are still held", err, u.Held())
	}
}
