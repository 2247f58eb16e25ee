package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSimulateOneSchedule(t *testing.T) {
	t.Parallel()
	args := []string{"simulate", "--markdown", "--schedule", "step:50:200:3m", "--policy", "deadline,kpa", "--seeds", "2", "--min", "2", "--max", "30"}
	first, progress, err := command(t, args...)
	if err != nil || strings.Count(first, "\n") != 4 || !strings.Contains(first, "| deadline | ") || !strings.Contains(progress, "simulated 100 %") {
		t.Fatalf("simulate: %v, printed\n%s\n%s", err, first, progress)
	}
	if second, _, _ := command(t, args...); second != first {
		t.Errorf("the same seeds gave another table:\n%s\n%s", first, second)
	}
}

func TestSimulateJSON(t *testing.T) {
	t.Parallel()
	stdout, _, err := command(t, "simulate", "--json", "--schedule", "constant:100:1m", "--policy", "kpa", "--seeds", "2")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if err != nil || len(lines) != 2 {
		t.Fatalf("simulate --json: %v, printed\n%s", err, stdout)
	}
	var run struct {
		Policy         string  `json:"policy"`
		Seed           int     `json:"seed"`
		Offered        int     `json:"offered"`
		P99            float64 `json:"p99_seconds"`
		ReplicaSeconds float64 `json:"replica_seconds"`
	}
	if err := json.Unmarshal([]byte(lines[1]), &run); err != nil {
		t.Fatal(err)
	}
	if run.Policy != "kpa" || run.Seed != 1 || run.Offered < 5500 || run.Offered > 6500 || run.P99 < 0.05 || run.ReplicaSeconds < 300 {
		t.Errorf("second run %+v, want some 6000 images by kpa", run)
	}
}

func TestSimulateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--policy x":        "available: deadline, ",
		"--trace x":         "available: constant, step,",
		"--schedule x":      "is not a number",
		"--seeds 0":         "--seeds",
		"--min 9 --max 3":   "9 to 3",
		"--delay-min 9s":    "--delay-max",
		"--docs /not/there": "not/there",
	} {
		_, _, err := command(t, append([]string{"simulate"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("simulate %s: %v, want an error with %q", args, err, want)
		}
	}
}
