package forward

import (
	"fmt"
	"strings"
	"unicode"
)

// info is the part of a replica's GET /info that the pool uses. The prototype's replica has none of these fields.
type info struct {
	Weights     string `json:"weights"`
	Precision   string `json:"precision"`
	Concurrency int    `json:"concurrency"`
	Queue       int    `json:"queue"`
	Warning     string `json:"warning"`
	Hash        string `json:"-"` // ModelInfo.Version of the default model

	Quantization Quantization `json:"quantization"` // zero for replicas that do not change their precision by themselves
}

// Quantization is what a replica reports while it compares an int8 or bf16 network with fp32, before and after it uses it.
type Quantization struct {
	State     string  `json:"state"`               // of the engine's observer, such as "comparing" or "adopted"
	Precision string  `json:"precision,omitempty"` // what is compared with fp32; empty means int8
	Compared  int     `json:"compared"`            // images that both networks have classified
	Equal     int     `json:"equal"`               // of those, images with the same best label
	Wanted    float64 `json:"wanted"`              // the share of equal ones that it must have, 0 to 1
}

const (
	maxConcurrency = 1024    // maximum number of workers of one replica
	maxQueue       = 1 << 20 // maximum number of its waiting places, of which slots uses few
	maxCompared    = 1 << 50 // maximum number of images it has compared, so that a sum over replicas does not overflow
	maxInfoBytes   = 256     // maximum length of a string in /info
)

// claimError refuses a replica because of what an endpoint of it claims.
type claimError struct{ path, reason string }

func (e *claimError) Error() string { return "refused because of its " + e.path + ": " + e.reason }

// check returns a claimError if the replica claims what no replica can have. It would get most of the images if its
// number of workers was believed.
func (i info) check() error {
	for _, claim := range [...]struct {
		name    string
		n, most int
	}{{"concurrency", i.Concurrency, maxConcurrency}, {"queue", i.Queue, maxQueue}} {
		if claim.n < 0 || claim.n > claim.most {
			return &claimError{"/info", fmt.Sprintf("%s is %d, want 0 to %d", claim.name, claim.n, claim.most)}
		}
	}
	if q := i.Quantization; q.Equal < 0 || q.Equal > q.Compared || q.Compared > maxCompared || q.Wanted < 0 || q.Wanted > 1 {
		return &claimError{"/info", fmt.Sprintf("quantization has %d equal of %d images, and wants a share of %g", q.Equal, q.Compared, q.Wanted)}
	}
	for _, claim := range [...]struct{ name, text string }{{"weights", i.Weights}, {"precision", i.Precision}, {"warning", i.Warning},
		{"version", i.Hash}, {"quantization.state", i.Quantization.State}, {"quantization.precision", i.Quantization.Precision}} {
		if n := len(claim.text); n > maxInfoBytes {
			return &claimError{"/info", fmt.Sprintf("%s has %d bytes, want at most %d", claim.name, n, maxInfoBytes)}
		}
		if strings.ContainsFunc(claim.text, unicode.IsControl) {
			return &claimError{"/info", fmt.Sprintf("%s has control characters: %q", claim.name, claim.text)}
		}
	}
	return nil
}

// slots returns how many images to send to the replica at a time, or fallback if the replica does not report it. One
// image may wait for each worker, because the workers may finish together, and a response and the next image take
// time to travel. The rest of the replica's queue stays empty: an image that waits in the dispatcher can still go to
// whichever replica is free first. 8 workers and a queue of 16 give 16 slots, 8 workers and a queue of 1 give 9.
func (i info) slots(fallback int) int {
	if i.Concurrency == 0 {
		return fallback
	}
	return i.Concurrency + min(i.Queue, i.Concurrency)
}

// takesBody reports whether the replica accepts an image as the request body. Others, such as the prototype's
// replica, receive a form.
func (i info) takesBody() bool { return i.Concurrency > 0 }

// clip shortens s to at most n bytes, at a character boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
