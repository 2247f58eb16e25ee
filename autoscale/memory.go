package autoscale

import (
	"encoding/json"
	"fmt"
	"time"
)

// memory implements State and Restore for a policy that embeds it.
type memory[S any] struct{ state S }

// State returns the state as JSON.
func (m *memory[S]) State() ([]byte, error) { return json.Marshal(m.state) }

// Restore sets a state that State returned.
func (m *memory[S]) Restore(state []byte) error {
	var s S
	if err := json.Unmarshal(state, &s); err != nil {
		return fmt.Errorf("read policy state: %w", err)
	}
	m.state = s
	return nil
}

// point is a value at a time.
type point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// since drops the points before a time; points are in order of time.
func since(points []point, t time.Time) []point {
	n := 0
	for n < len(points) && points[n].At.Before(t) {
		n++
	}
	return points[n:]
}

// largest is the largest value of the points; 0 if there are none.
func largest(points []point) float64 {
	most := 0.0
	for _, p := range points {
		most = max(most, p.Value)
	}
	return most
}

// mean is the mean value of the points; 0 if there are none.
func mean(points []point) float64 {
	sum := 0.0
	for _, p := range points {
		sum += p.Value
	}
	return sum / max(1, float64(len(points)))
}

// clock says when a policy with an interval decides next.
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

// stay is the decision to keep the number of replicas, without a reason.
func stay(name string, now time.Time, s Snapshot) Decision {
	return Decision{At: now, Policy: name, Replicas: s.Desired, Was: s.Desired}
}
