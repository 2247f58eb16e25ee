package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// record is what was seen live, to be judged again when the simulator has changed.
type record struct {
	settings
	Runs []run `json:"runs"`
}

// run is a policy's life.
type run struct {
	Policy string  `json:"policy"`
	Live   outcome `json:"live"`
}

func readRecord(path string) (r record, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", path, err)
	}
	if len(r.Runs) == 0 {
		return r, fmt.Errorf("read %s: no runs", path)
	}
	return r, nil
}

// keep writes the record into the file, with the runs of other policies that it has under the same settings,
// and returns all of them.
func (r record) keep(path string) (record, error) {
	before, err := readRecord(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	before.Network = r.Network // is measured each time
	if before.settings == r.settings {
		r.Runs = append(slices.DeleteFunc(before.Runs, func(old run) bool {
			return slices.ContainsFunc(r.Runs, func(own run) bool { return own.Policy == old.Policy })
		}), r.Runs...)
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return r, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return r, err
	}
	return r, os.WriteFile(path, append(text, '\n'), 0o644)
}

// simulations is how many a live run is compared with: the same arrivals, other service times and delays.
const simulations = 40

// simulate sets simulations beside each live run.
func (r record) simulate() ([]pair, error) {
	load, err := schedule.Parse(r.Schedule)
	if err != nil {
		return nil, err
	}
	var pairs []pair
	for _, one := range r.Runs {
		p := pair{name: one.Policy, live: one.Live}
		for seed := range uint64(simulations) {
			policy, err := r.policy(p.name)
			if err != nil {
				return nil, err
			}
			p.simulated = append(p.simulated, sim.Run(sim.Config{
				Load: load, Policy: policy, Seed: seed + 1, Arrivals: r.Seed, Limits: r.Limits, Start: r.start(load), SLO: r.SLO,
				Queue: r.Queue, Warmup: r.Warmup, Service: sim.Service{Mean: p.live.Service}, Delay: sim.Observed(p.live.Starts),
			}))
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}
