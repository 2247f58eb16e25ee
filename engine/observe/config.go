// Package observe leads an engine with float32 weights to int8 or bf16 by itself: while fp32 answers it keeps the first
// pictures, has int8 calibrated with them, compares the labels of both networks on the pictures that follow, and
// adopts int8 if enough are equal. Afterwards fp32 checks a share of the answers, and int8 is withdrawn if its labels
// drift. bf16 needs no calibration: for it the first pictures are compared. Package engine runs an [Observer] and is its [Host].
package observe

import (
	"cmp"
	"fmt"
)

// Config says how an Observer decides. The zero value is usable.
type Config struct {
	// Pictures is how many are kept for calibration, where the precision needs that, and after that how many are compared. 0 means 256.
	Pictures int
	// Agreement is the share of best labels, 0..1, that must be equal. 0 means 0.95.
	Agreement float64
	// Share is the share of pictures, 0..1, that fp32 checks after adoption, for as long as the engine lives.
	// 0 means 0.01, -1 none.
	Share float64
	// Changed, if not nil, is called with each new state, on the observer's goroutine. It must not call the engine.
	Changed func(Status)
}

func (c Config) withDefaults() Config {
	c.Pictures = cmp.Or(c.Pictures, 256)
	c.Agreement = cmp.Or(c.Agreement, 0.95)
	c.Share = cmp.Or(c.Share, 0.01)
	return c
}

// Validate checks the values, after defaults.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Pictures < 1:
		return fmt.Errorf("observe: %d pictures, want at least 1", c.Pictures)
	case !(c.Agreement >= 0 && c.Agreement <= 1):
		return fmt.Errorf("observe: agreement %v, want 0 to 1", c.Agreement)
	case c.Share != -1 && !(c.Share > 0 && c.Share <= 1):
		return fmt.Errorf("observe: share %v to check, want above 0 and at most 1, or -1 for none", c.Share)
	}
	return nil
}
