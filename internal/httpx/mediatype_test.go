package httpx

import (
	"maps"
	"mime"
	"testing"
)

// FuzzParseParams checks that a header that mime accepts is read as mime reads it, and that others do no harm.
func FuzzParseParams(f *testing.F) {
	for _, header := range []string{"", "image/jpeg", `form-data; name="image"; filename=my photo.jpg`, `a; b="c`, `a; b*=x''%41`, "a;;=;", "multipart/form-data; boundary=a=b"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		value, params, ok := parseParams(header)
		want, wanted, err := mime.ParseMediaType(header)
		if err == nil && (value != want || !maps.Equal(params, wanted)) {
			t.Errorf("parseParams(%q) = %q %q %t, want %q %q", header, value, params, ok, want, wanted)
		}
	})
}
