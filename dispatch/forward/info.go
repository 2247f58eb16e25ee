package forward

import "strings"

// info is the part of a replica's GET /info that the pool uses. The prototype's replica has none of these fields.
type info struct {
	Weights     string `json:"weights"`
	Precision   string `json:"precision"`
	Concurrency int    `json:"concurrency"`
	Queue       int    `json:"queue"`
	Warning     string `json:"warning"`
}

const (
	maxClaim     = 1024 // maximum number of workers or queue places of one replica
	maxInfoBytes = 256  // maximum length of a string in /info
)

// bounded limits the values that a replica may report.
func (i info) bounded() info {
	i.Weights, i.Precision, i.Warning = clip(i.Weights, maxInfoBytes), clip(i.Precision, maxInfoBytes), clip(i.Warning, maxInfoBytes)
	i.Concurrency = min(max(i.Concurrency, 0), maxClaim)
	i.Queue = min(max(i.Queue, 0), maxClaim)
	return i
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
