package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
)

// run is a line of the JSON output.
type run struct {
	Trace          string  `json:"trace"`
	Policy         string  `json:"policy"`
	Seed           int     `json:"seed"`
	Offered        int     `json:"offered"`
	Late           int     `json:"late"`
	Refused        int     `json:"refused"`
	P50            float64 `json:"p50_seconds"`
	P95            float64 `json:"p95_seconds"`
	P99            float64 `json:"p99_seconds"`
	P999           float64 `json:"p99_9_seconds"`
	ReplicaSeconds float64 `json:"replica_seconds"`
	IdealSeconds   float64 `json:"ideal_replica_seconds"`
	Changes        int     `json:"changes"`
	Reversals      int     `json:"reversals"`
	Created        int     `json:"created"`
	Wasted         int     `json:"wasted"`
	Recovery       float64 `json:"recovery_seconds"`
	Overshoot      float64 `json:"overshoot_ratio"`
	Under          float64 `json:"missing_ratio"`
	Over           float64 `json:"surplus_ratio"`
	Starved        float64 `json:"starved_ratio"`
}

// WriteJSON writes a line for each run.
func WriteJSON(w io.Writer, o sim.Outcome) error {
	enc := json.NewEncoder(w)
	for t, trace := range o.Traces {
		for c, who := range o.Contestants {
			for seed, r := range o.Results[t][c] {
				seconds := func(q float64) float64 { return math.Round(1e6*r.Latency.Quantile(q).Seconds()) / 1e6 }
				line := run{Trace: trace.Name, Policy: who.Name, Seed: seed, Offered: r.Offered, Late: r.Late, Refused: r.Refused,
					P50: seconds(0.5), P95: seconds(0.95), P99: seconds(0.99), P999: seconds(0.999),
					ReplicaSeconds: r.ReplicaSeconds, IdealSeconds: r.IdealSeconds, Changes: r.Changes, Reversals: r.Reversals,
					Created: r.Created, Wasted: r.Wasted, Recovery: r.Recovery.Seconds(), Overshoot: r.Overshoot,
					Under: r.Under, Over: r.Over, Starved: r.Starved}
				if err := enc.Encode(line); err != nil {
					return fmt.Errorf("write a run: %w", err)
				}
			}
		}
	}
	return nil
}
