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
	maxClaim     = 1024 // images; workers or waiting places of one replica
	maxInfoBytes = 256  // of one text in /info
)

// bounded limits what a replica may claim.
func (i info) bounded() info {
	i.Weights, i.Precision, i.Warning = clip(i.Weights, maxInfoBytes), clip(i.Precision, maxInfoBytes), clip(i.Warning, maxInfoBytes)
	i.Concurrency = min(max(i.Concurrency, 0), maxClaim)
	i.Queue = min(max(i.Queue, 0), maxClaim)
	return i
}

// slots is how many images to send to the replica at a time; fallback when it does not say. One image waits for each
// worker, as the workers may finish together, and an answer and the next image need time to travel. The rest of the
// replica's waiting places stay empty: an image that waits in the dispatcher can still go to the replica that is
// free first. 8 workers and 16 places give 16 slots, 8 workers and 1 place give 9.
func (i info) slots(fallback int) int {
	if i.Concurrency == 0 {
		return fallback
	}
	return i.Concurrency + min(i.Queue, i.Concurrency)
}

// takesBody reports whether the replica takes an image as the body of a request. Others get it in a form, as the
// prototype's replica.
func (i info) takesBody() bool { return i.Concurrency > 0 }

// clip shortens s to at most n bytes, at the border of a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
