//go:build httpfuzz

package httpfuzz

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
)

// generator makes requests: well-formed ones with parts that are unusual, wrong or mutated. Two generators with the same
// seed make the same requests.
type generator struct {
	rng      *rand.Rand
	token    string // of a key
	pictures [][]byte
}

func newGenerator(seed, number uint64, token string) *generator {
	return &generator{rand.New(rand.NewPCG(seed, number)), token, pictures()}
}

// pictures are small files of all formats but WebP, for which Go has no encoder.
func pictures() [][]byte {
	img := image.NewPaletted(image.Rect(0, 0, 40, 30), color.Palette{color.Black, color.White, color.RGBA{200, 10, 10, 255}})
	for i := range img.Pix {
		img.Pix[i] = uint8(i*i/7) % 3
	}
	var j, p, g bytes.Buffer // writes to them do not fail
	_ = jpeg.Encode(&j, img, nil)
	_ = png.Encode(&p, img)
	_ = gif.Encode(&g, img, nil)
	return [][]byte{j.Bytes(), p.Bytes(), g.Bytes()}
}

// pick returns one of the values.
func pick[T any](g *generator, values ...T) T { return values[g.rng.IntN(len(values))] }

// one reports true once in n times.
func (g *generator) one(n int) bool { return g.rng.IntN(n) == 0 }

// junk returns up to n random bytes.
func (g *generator) junk(n int) string {
	b := make([]byte, g.rng.IntN(n+1))
	for i := range b {
		b[i] = byte(g.rng.Uint32())
	}
	return string(b)
}

// connection returns the bytes of a connection: one request or several.
func (g *generator) connection() []byte {
	if g.one(30) {
		return []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + g.frames())
	}
	var b []byte
	for range 1 + g.rng.IntN(3) {
		b = append(b, g.request()...)
	}
	if g.one(5) {
		b = g.mutate(b)
	}
	return b
}

// frames returns HTTP/2 frames (RFC 9113, section 4.1), most of them invalid.
func (g *generator) frames() string {
	var b strings.Builder
	b.WriteString("\x00\x00\x00\x04\x00\x00\x00\x00\x00") // SETTINGS
	for range g.rng.IntN(20) {
		body := g.junk(pick(g, 0, 4, 5, 8, 100, 2000))
		fmt.Fprintf(&b, "%c%c%c%c%c\x00\x00\x00%c%s", len(body)>>16, byte(len(body)>>8), byte(len(body)), g.rng.IntN(12), byte(g.rng.Uint32()),
			g.rng.IntN(5), body)
	}
	return b.String()
}

func (g *generator) request() []byte {
	var b bytes.Buffer
	target := g.target()
	fmt.Fprintf(&b, "%s %s %s%s", g.method(target), target, g.version(), g.end())
	body, headers := g.body()
	if !g.one(20) {
		headers = append(headers, "Host: "+pick(g, "localhost", "127.0.0.1", "localhost:80", "[::1]", "localhost", "localhost"))
	}
	if g.one(2) {
		headers = append(headers, "Authorization: "+pick(g, "Bearer ", "Bearer ", "Bearer ", "bearer  ", "Basic ", "")+
			pick(g, g.token, g.token, g.token, g.token[:20], g.token+"x", "", g.junk(60)))
	}
	for g.one(2) {
		headers = append(headers, g.header())
	}
	g.rng.Shuffle(len(headers), func(i, j int) { headers[i], headers[j] = headers[j], headers[i] })
	for _, h := range headers {
		b.WriteString(h + g.end())
	}
	b.WriteString(g.end())
	b.Write(body)
	return b.Bytes()
}

// end returns the end of a line.
func (g *generator) end() string {
	if g.one(200) {
		return pick(g, "\n", "\r", "", "\n\n", "\x00\r\n")
	}
	return "\r\n"
}

// method returns the method of the target, mostly.
func (g *generator) method(target string) string {
	switch {
	case !g.one(4) && strings.HasPrefix(target, "/predict"):
		return "POST"
	case !g.one(4):
		return "GET"
	case g.one(3):
		return pick(g, "PUT", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "", "G\x00T", strings.Repeat("M", 3000), "*")
	}
	return pick(g, "GET", "POST", "POST", "DELETE")
}

func (g *generator) version() string {
	if g.one(20) {
		return pick(g, "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/9", "http/1.1", "", "HTTP/1.1 x")
	}
	return "HTTP/1.1"
}

func (g *generator) target() string {
	path := pick(g, "/predict", "/predict", "/predict_async", "/predict_batch", "/result/"+g.id(), "/results", "/status", "/cache/stats", "/cache/clear",
		"/health", "/health/live", "/health/ready", "/metrics", "/info", "/", "/page/app.js")
	if g.one(8) {
		path = pick(g, "/page/", "/page/../../etc/passwd", "/page/%2e%2e/", "/page/"+g.junk(20), "/debug/pprof/", "//", "*", "http://localhost/status",
			"/"+strings.Repeat("a/", 3000), "/%zz", "/"+g.junk(30), "")
	}
	for g.one(3) {
		path += pick(g, "?", "&", "&", ";") + pick(g, "wait", "limit", "filename", "exclude", g.junk(5)) + "=" +
			pick(g, "0.05", "50ms", "-1", "NaN", "1e400", "9999999999999999999", "0", "1", "1000", "%00", "%ff%fe", "../../x.jpg", "a.jpg", "replicas", "",
				strings.Repeat("n", 5000), g.junk(20))
	}
	return path
}

func (g *generator) id() string {
	return pick(g, "01a20dd9-0000-7000-8000-000000000000", "01A20DD9-0000-7000-8000-00000000ABCD", "x", "..", "%2e%2e", "*", ">", "01a20dd9.0000",
		strings.Repeat("0", 36), strings.Repeat("f", 30_000), g.junk(36))
}

// header returns a header that the servers or net/http interpret, or another one.
func (g *generator) header() string {
	name := pick(g, "X-Request-Timeout", "X-Priority", "Idempotency-Key", "X-Request-Id", "Traceparent", "Prefer", "Expect", "Content-Encoding",
		"Content-Disposition", "Connection", "Upgrade", "HTTP2-Settings", "Authorization", "Origin", "Sec-Fetch-Site", "X-Forwarded-For", "Forwarded",
		"Range", "Accept-Encoding", "Accept", "If-None-Match", "Trailer", "TE", "Cookie", "X-Something")
	if g.one(8) { // without which the request can be read
		name = pick(g, "Content-Length", "Transfer-Encoding", "Content-Type", "Host", g.junk(8))
	}
	value := pick(g, "", "1", "0.01", "5ms", "-1", "NaN", "1e999", "bulk", "interactive", "order-66", "respond-async", "100-continue", "gzip", "identity",
		"close", "keep-alive", "h2c", "AAMAAABkAAQAAP__", "Bearer x", "http://evil.example", "cross-site", "1.2.3.4, 5.6.7.8", `for="[::1]:80";proto=http`,
		"bytes=0-1", "bytes=9-", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "from-gateway", `attachment; filename="a\"b.jpg"`, "filename*=UTF-8''%ff",
		"chunked", "chunked, chunked", "5", "99999999999999999999", "application/json", "image/", "multipart/form-data", "text/plain; version=0.0.4",
		"localhost", "example.com", strings.Repeat("v", 20_000))
	if g.one(8) {
		value = pick(g, strings.Repeat("v", 70_000), strings.Repeat("\xff", 300), g.junk(50))
	}
	return name + pick(g, ": ", ": ", ": ", ":", " : ", ":\t") + value
}

// body returns a body and the headers that describe it, truly or not.
func (g *generator) body() ([]byte, []string) {
	if g.one(4) {
		return nil, nil
	}
	content, kind := g.content()
	headers := []string{"Content-Type: " + kind}
	switch g.rng.IntN(12) {
	case 0, 4, 5:
		return g.chunked(content), append(headers, "Transfer-Encoding: chunked")
	case 1:
		return g.mutate(g.chunked(content)), append(headers, "Transfer-Encoding: chunked")
	case 2: // too few or too many bytes
		return content, append(headers, fmt.Sprint("Content-Length: ", max(0, len(content)+g.rng.IntN(200)-100)))
	case 3: // none of the two, or both
		return content, pick(g, headers, append(headers, "Transfer-Encoding: chunked", fmt.Sprint("Content-Length: ", len(content))))
	default:
		return content, append(headers, fmt.Sprint("Content-Length: ", len(content)))
	}
}

// content returns an image or a form, and its media type.
func (g *generator) content() ([]byte, string) {
	picture := pick(g, g.pictures...)
	switch g.rng.IntN(4) {
	case 0:
		picture = g.mutate(picture)
	case 1:
		picture = []byte(g.junk(2000))
	}
	if g.one(2) {
		return picture, pick(g, "image/jpeg", "image/jpeg", "image/png", "application/octet-stream", "image/jpeg; q=\x01", "text/plain", "")
	}
	const boundary = "zzz"
	var b bytes.Buffer
	for range g.rng.IntN(5) {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%s%s\r\n%s\r\n%s\r\n", boundary,
			pick(g, `"image"`, `"images"`, `"other"`, `image`, `""`, strings.Repeat("x", 9000)),
			pick(g, `; filename="a.jpg"`, `; filename="../../a.jpg"`, `; filename=""`, "", `; filename*=UTF-8''%e2%82%ac.jpg`, `; filename="`+g.junk(300)+`"`),
			pick(g, "", "Content-Type: image/jpeg\r\n", "Content-Transfer-Encoding: base64\r\n", strings.Repeat("A: b\r\n", 500)), picture)
	}
	b.WriteString(pick(g, "--zzz--\r\n", "--zzz--\r\n", "--zzz--", "--zzz", "", "--yyy--\r\n"))
	return b.Bytes(), pick(g, "multipart/form-data; boundary=zzz", "multipart/form-data; boundary=zzz", "multipart/form-data; boundary=zzz", `multipart/form-data; boundary="zzz"`,
		"multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=zzz", "multipart/form-data; boundary="+strings.Repeat("z", 300))
}

// chunked returns content in the coding of RFC 9112, section 7.1.
func (g *generator) chunked(content []byte) []byte {
	var b bytes.Buffer
	for len(content) > 0 {
		n := 1 + g.rng.IntN(len(content))
		fmt.Fprintf(&b, "%x%s\r\n%s\r\n", n, pick(g, "", "", ";a=b", ";"+strings.Repeat("x", 100)), content[:n])
		content = content[n:]
	}
	b.WriteString("0\r\n" + pick(g, "", "", "X-Trailer: y\r\n") + "\r\n")
	return b.Bytes()
}

// mutate returns b with a few changes.
func (g *generator) mutate(b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + g.rng.IntN(4) {
		at := g.rng.IntN(len(b) + 1)
		switch g.rng.IntN(5) {
		case 0:
			if at < len(b) {
				b[at] ^= 1 << g.rng.IntN(8)
			}
		case 1:
			b = append(b[:at:at], append([]byte(g.junk(10)), b[at:]...)...)
		case 2:
			b = append(b[:at:at], b[min(len(b), at+g.rng.IntN(20)):]...)
		case 3:
			from := g.rng.IntN(at + 1)
			b = append(b[:at:at], append(bytes.Clone(b[from:at]), b[at:]...)...)
		case 4:
			if g.one(4) {
				b = b[:at]
			}
		}
	}
	return b
}
