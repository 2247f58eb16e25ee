package main

import (
	"fmt"
	"strconv"
	"strings"
)

// percent is a share that is written "5%" or "0.05".
type percent float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *percent) UnmarshalText(text []byte) error {
	number, hundredths := strings.CutSuffix(string(text), "%")
	value, err := strconv.ParseFloat(number, 64)
	if hundredths {
		value /= 100
	}
	if err != nil || !(value >= 0 && value <= 1) {
		return fmt.Errorf("%q is no share: want 0%% to 100%%, or 0 to 1", text)
	}
	*p = percent(value)
	return nil
}

func (p percent) String() string { return strconv.FormatFloat(float64(p), 'g', -1, 64) }
