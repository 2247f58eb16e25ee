package httpx

import (
	"bytes"
	"mime"
	"net/url"
	"strings"
)

// parseParams reads a header such as Content-Type or Content-Disposition, its value in lower case. What mime does not accept
// but clients send is read as it is meant: values that should be in quotes and are not, such as filename=my photo.jpg or
// boundary=--a/b:c, and quotes that are not closed. Without a value, ok is false.
func parseParams(header string) (value string, params map[string]string, ok bool) {
	value, params, err := mime.ParseMediaType(header)
	if err == nil {
		return value, params, value != ""
	}
	value, rest, _ := strings.Cut(header, ";")
	value = strings.ToLower(strings.TrimSpace(value))
	if value == "" || strings.ContainsAny(value, " \t\"=,") || strings.HasSuffix(value, "/") || strings.HasPrefix(value, "/") {
		return "", nil, false
	}
	params = map[string]string{}
	for rest != "" {
		var name, text string
		name, rest, _ = strings.Cut(rest, "=")
		text, rest = cutValue(rest)
		name = strings.ToLower(strings.TrimSpace(strings.TrimLeft(name, "; \t")))
		if extended, is := strings.CutSuffix(name, "*"); is { // RFC 8187: charset'language'percent-encoded
			if _, encoded, has := strings.Cut(text, "''"); has {
				if plain, err := url.PathUnescape(encoded); err == nil {
					params[extended] = plain
				}
			}
			continue
		}
		if _, given := params[name]; !given && name != "" {
			params[name] = text
		}
	}
	return value, params, true
}

// cutValue returns the value at the start of s, and what follows its semicolon.
func cutValue(s string) (value, rest string) {
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			_, rest, _ = strings.Cut(s[i+1:], ";")
			return b.String(), rest
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// signatureBytes is how much of a file looksLikeImage needs.
const signatureBytes = 12

// looksLikeImage reports whether a file begins as JPEG, PNG, GIF, BMP or WebP do.
func looksLikeImage(start []byte) bool {
	for _, signature := range []string{"\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "GIF87a", "GIF89a"} {
		if bytes.HasPrefix(start, []byte(signature)) {
			return true
		}
	}
	// A text may begin with BM; the header's reserved bytes, 6 to 9, are zero.
	bmp := len(start) >= 10 && string(start[:2]) == "BM" && string(start[6:10]) == "\x00\x00\x00\x00"
	return bmp || len(start) >= 12 && string(start[:4]) == "RIFF" && string(start[8:12]) == "WEBP"
}
