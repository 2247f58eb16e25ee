package autoscale

import (
	"encoding/json"
	"fmt"
	"time"
)

// memory gives a policy that embeds it State and Restore.
type memory[S any] struct{ state S }

// State returns what the policy remembers.
func (m *memory[S]) State() ([]byte, error) { return json.Marshal(m.state) }

// Restore takes over what State returned.
func (m *memory[S]) Restore(state []byte) error {
	var s S
	if err := json.Unmarshal(state, &s); err != nil {
		return fmt.Errorf("read a policy's state: %w", err)
	}
	m.state = s
	return nil
}

// point is a value at a time.
type point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// since drops the points before a time; they are in order of time.
func since(points []point, t time.Time) []point {
	n := 0
	for n < len(points) && points[n].At.Before(t) {
		n++
	}
	return points[n:]
}

// largest is the greatest value among points; 0 of none.
func largest(points []point) float64 {
	most := 0.0
	for _, p := range points {
		most = max(most, p.Value)
	}
	return most
}

// mean is the mean of the points' values; 0 of none.
func mean(points []point) float64 {
	sum := 0.0
	for _, p := range points {
		sum += p.Value
	}
	return sum / max(1, float64(len(points)))
}

// clock says when a policy that looks at intervals looks again.
type clock struct {
	Next time.Time `json:"next"`
}

// due reports whether it is time, and if so sets the next time.
func (c *clock) due(now time.Time, every time.Duration) bool {
	if now.Before(c.Next) {
		return false
	}
	if c.Next = c.Next.Add(every); !c.Next.After(now) {
		c.Next = now.Add(every)
	}
	return true
}

// stay is the decision of a policy that does not look now: what is asked for remains.
func stay(name string, now time.Time, s Snapshot) Decision {
	return Decision{At: now, Policy: name, Replicas: s.Desired, Was: s.Desired}
}
