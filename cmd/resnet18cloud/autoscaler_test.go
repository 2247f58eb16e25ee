package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/autoscaler"
)

func TestAutoscaleLimits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]autoscale.Limits{"1:4": {Min: 1, Max: 4}, "3:3": {Min: 3, Max: 3}, "": {Min: 7, Max: 7}, "0:4": {Min: autoscale.ToZero, Max: 4}} {
		if got, err := (upCmd{Replicas: 7, Autoscale: text}).limits(); err != nil || got != want {
			t.Errorf("--autoscale %q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"4", "0:0", "-1:4", "4:1", "a:b", "1:", ":"} {
		if _, err := (upCmd{Replicas: 1, Autoscale: text}).limits(); err == nil || !strings.Contains(err.Error(), "such as 1:4") {
			t.Errorf("--autoscale %q: %v, want an error that says how", text, err)
		}
	}
}

// TestEachPolicyIsMade checks that --policy takes all kinds of policy, the first by default.
func TestEachPolicyIsMade(t *testing.T) {
	t.Parallel()
	for i, kind := range autoscale.Kinds() {
		var flags policyFlags
		var args []string
		if i > 0 {
			args = []string{"--policy", kind.Name}
		}
		parser, err := kong.New(&flags, policyVars())
		if err == nil {
			_, err = parser.Parse(args)
		}
		if err != nil {
			t.Fatal(err)
		}
		make, err := flags.make(autoscale.Limits{})
		if err != nil || make().Name() != kind.Name {
			t.Errorf("--policy %s: %v", kind.Name, err)
		}
	}
	if _, err := (policyFlags{Policy: "deadline"}).make(autoscale.Limits{}); err == nil {
		t.Error("--slo 0: no error")
	}
	if _, err := (policyFlags{Policy: "kpa", SLO: 1}).make(autoscale.Limits{Min: 3, Max: 2}); err == nil {
		t.Error("--min 3 --max 2: no error")
	}
}

// TestAutoscalerPolicy checks the policy that --min, --schedule and --shadow make.
func TestAutoscalerPolicy(t *testing.T) {
	t.Parallel()
	base := autoscalerRunCmd{Min: 1, Max: 9, policyFlags: policyFlags{Policy: "deadline", SLO: time.Second}}
	with := func(change func(*autoscalerRunCmd)) *autoscalerRunCmd { c := base; change(&c); return &c }
	for name, test := range map[string]struct {
		cmd  *autoscalerRunCmd
		want autoscale.Limits
		kind string
	}{
		"usual":       {&base, autoscale.Limits{Min: 1, Max: 9}, "*autoscale.Deadline"},
		"to zero":     {with(func(c *autoscalerRunCmd) { c.Min = 0 }), autoscale.Limits{Min: autoscale.ToZero, Max: 9}, "*autoscale.Deadline"},
		"by the time": {with(func(c *autoscalerRunCmd) { c.Schedule = []string{"08:00-18:00 4:20", "0:00-06:00 0:5"} }), autoscale.Limits{Min: autoscale.ToZero, Max: 20}, "autoscale.Scheduled"},
		"shadow":      {with(func(c *autoscalerRunCmd) { c.Shadow = true }), autoscale.Limits{Min: 1, Max: 9}, "*autoscale.Shadow"},
	} {
		make, limits, err := test.cmd.policy()
		if err != nil || limits != test.want {
			t.Errorf("%s: limits %+v, %v, want %+v", name, limits, err, test.want)
			continue
		}
		if p := make(); fmt.Sprintf("%T", p) != test.kind || p.Name() != "deadline" {
			t.Errorf("%s: a %T named %s, want a %s", name, p, p.Name(), test.kind)
		}
	}
	for want, cmd := range map[string]*autoscalerRunCmd{
		"--min":                  with(func(c *autoscalerRunCmd) { c.Min = -1 }),
		"minimum":                with(func(c *autoscalerRunCmd) { c.Min = 10 }),
		"mon-fri 08:00-18:00":    with(func(c *autoscalerRunCmd) { c.Schedule = []string{"8-18 4:20"} }),
		"policy deadline can do": with(func(c *autoscalerRunCmd) { c.Min, c.Policy = 0, "threshold" }),
		"--keda-addr":            with(func(c *autoscalerRunCmd) { c.Shadow, c.KEDAAddr = true, ":9090" }),
	} {
		if _, _, err := cmd.policy(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error about %q", err, want)
		}
	}
}

func TestAutoscalerDefaults(t *testing.T) {
	t.Parallel()
	var c autoscalerRunCmd
	defaults(t, &c)
	if c.Addr != autoscaler.DefaultAddr || c.Interval != autoscaler.DefaultInterval || c.Min != autoscale.DefaultMin || c.Max != autoscale.DefaultMax {
		t.Errorf("defaults of autoscaler's flags are not those of the packages: %+v", c)
	}
}

func TestAutoscalerNeedsATarget(t *testing.T) {
	t.Parallel()
	if _, _, err := command(t, "autoscaler", "--policy", "hpa-cpu"); err == nil || !strings.Contains(err.Error(), "k8s/hpa.yaml") {
		t.Errorf("autoscaler by CPU: %v, want an error that names what does it", err)
	}
	if _, _, err := command(t, "autoscaler", "--target", "-1"); err == nil || !strings.Contains(err.Error(), "--target") {
		t.Errorf("autoscaler --target -1: %v", err)
	}
	if _, _, err := command(t, "autoscaler"); err == nil || !strings.Contains(err.Error(), "--deployment") {
		t.Errorf("autoscaler without a target: %v, want an error that names --deployment", err)
	}
}

// TestAutoscalerChecksDispatchers before it looks for the cluster's API.
func TestAutoscalerChecksDispatchers(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"dispatcher", "dns+dispatcher:8080", "ftp://dispatcher"} {
		_, _, err := command(t, "autoscaler", "--deployment", "app", "--dispatchers", "http://a:1,"+u)
		if err == nil || !strings.Contains(err.Error(), u) || !strings.Contains(err.Error(), "dns+http://name:5000") {
			t.Errorf("autoscaler --dispatchers %s: %v, want an error that shows a URL", u, err)
		}
	}
}

// TestExplainSpeaksToAnAutoscaler, and says so when it does not.
func TestExplainSpeaksToAnAutoscaler(t *testing.T) {
	t.Parallel()
	answer, status := "", http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	answer = `{"now":{"policy":"deadline","replicas":3,"was":3,"reasons":[{"rule":"steady","replicas":3}]},"changes":[]}`
	stdout, _, err := command(t, "autoscaler", "explain", "--url", server.URL)
	if err != nil || !strings.Contains(stdout, "Policy deadline keeps 3 replicas") {
		t.Errorf("explain: %v, printed %q", err, stdout)
	}
	if stdout, _, err := command(t, "autoscaler", "explain", strings.TrimPrefix(server.URL, "http://")); err != nil || !strings.Contains(stdout, "keeps 3 replicas") {
		t.Errorf("explain ADDRESS: %v, printed %q", err, stdout)
	}
	answer, status = `{"error":"Nothing to explain","hint":"wait"}`, http.StatusServiceUnavailable
	if _, _, err := command(t, "autoscaler", "explain", "--url", server.URL); err == nil || !strings.Contains(err.Error(), "Nothing to explain (wait)") {
		t.Errorf("explain of an autoscaler that just began: %v", err)
	}
	answer, status = "<html>", http.StatusOK
	if _, _, err := command(t, "autoscaler", "explain", "--url", server.URL); err == nil || !strings.Contains(err.Error(), "is not an autoscaler") {
		t.Errorf("explain of something else: %v", err)
	}
}

// TestAdviceIsDatedByItsFigures checks that KEDA gets no numbers that rest on nothing.
func TestAdviceIsDatedByItsFigures(t *testing.T) {
	t.Parallel()
	if got := adviceOf(nil); !got.At.IsZero() {
		t.Errorf("advice without a decision: %+v, want none", got)
	}
	now := time.Now()
	record := autoscaler.Record{Decision: autoscale.Decision{At: now, Replicas: 4}, Age: 2, InFlight: 1}
	if got := adviceOf([]autoscaler.Record{record}); !got.At.Equal(now.Add(-2*time.Second)) || got.Replicas != 4 || !got.Working {
		t.Errorf("advice of %+v: %+v", record, got)
	}
	record.Age = -1
	if got := adviceOf([]autoscaler.Record{record}); !got.At.IsZero() {
		t.Errorf("advice of a decision without figures: %+v, want none", got)
	}
}

// TestCheckZone checks that a time zone that Go would take for UTC is refused.
func TestCheckZone(t *testing.T) {
	t.Parallel()
	for _, tz := range []string{"", "UTC", "Europe/Berlin", ":America/New_York", "/etc/localtime"} {
		if err := checkZone(tz); err != nil {
			t.Errorf("checkZone(%q): %v", tz, err)
		}
	}
	for _, tz := range []string{"Europe/Berln", "CET-1CEST,M3.5.0,M10.5.0/3"} {
		if err := checkZone(tz); err == nil || !strings.Contains(err.Error(), "is not a time zone") {
			t.Errorf("checkZone(%q) = %v, want an error", tz, err)
		}
	}
}
