package main

import (
	"strings"
	"testing"
)

func TestSimulateOneSchedule(t *testing.T) {
	t.Parallel()
	args := []string{"simulate", "--schedule", "step:50:200:3m", "--policy", "deadline,kpa", "--seeds", "2", "--min", "2", "--max", "30"}
	first, progress, err := command(t, args...)
	if err != nil || strings.Count(first, "\n") != 4 || !strings.Contains(first, "| deadline | ") || !strings.Contains(progress, "simulated 100 %") {
		t.Fatalf("simulate: %v, printed\n%s\n%s", err, first, progress)
	}
	if second, _, _ := command(t, args...); second != first {
		t.Errorf("the same seeds gave another table:\n%s\n%s", first, second)
	}
}

func TestSimulateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--policy x":        "there are: deadline; kpa;",
		"--trace x":         "there are: constant; step;",
		"--schedule x":      "is no number",
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
