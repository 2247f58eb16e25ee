package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/autoscaler"
	"github.com/resnet18cloud/resnet18cloud/autoscale/keda"
	"github.com/resnet18cloud/resnet18cloud/internal/dnsurl"
)

type autoscalerCmd struct {
	Watch   autoscalerRunCmd     `cmd:"" name:"run" default:"withargs" help:"Keep the number of replicas right (when no other is named)."`
	Explain autoscalerExplainCmd `cmd:"" help:"Ask a running autoscaler why there are as many replicas, and what would change it."`
}

// Help adds to kong's text what an option cannot say.
func (autoscalerCmd) Help() string {
	return `'autoscaler ...' is short for 'autoscaler run ...', whose options 'autoscaler run --help' lists. The replicas of 'up'
are scaled by 'up --autoscale 1:4'; this is for a Kubernetes Deployment.`
}

// policyFlags choose a policy and its bounds.
type policyFlags struct {
	Policy string        `help:"How to decide: deadline (by queueing theory, for an SLO), threshold (the prototype's rules), hpa-cpu (Kubernetes', on CPU), hpa-external (Kubernetes' and KEDA's, on the queue) or kpa (Knative's)." enum:"deadline,threshold,hpa-cpu,hpa-external,kpa" default:"deadline" env:"RESNET18_POLICY"`
	Target float64       `help:"What a replica is to have: of hpa-cpu the share of its CPU in use (0.7), of hpa-external waiting images (10), of kpa the share of its workers that are busy (0.7). 0 means those; deadline and threshold have none." default:"0" env:"RESNET18_TARGET"`
	SLO    time.Duration `name:"slo" help:"How long an answer may take, for --policy deadline." default:"500ms" env:"RESNET18_SLO"`
}

// make makes the policy.
func (f policyFlags) make(limits autoscale.Limits) (func() autoscale.Policy, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	if !(f.Target >= 0) {
		return nil, fmt.Errorf("--target %v: want 0 or more", f.Target)
	}
	hpa := autoscale.HPAConfig{Limits: limits}
	deadline := autoscale.DeadlineConfig{Limits: limits, SLO: f.SLO}
	if err := deadline.Validate(); err != nil || f.SLO == 0 {
		return nil, fmt.Errorf("--slo %s: want a time above 0", f.SLO)
	}
	return map[string]func() autoscale.Policy{
		"deadline":  func() autoscale.Policy { return autoscale.NewDeadline(deadline) },
		"threshold": func() autoscale.Policy { return autoscale.NewThreshold(autoscale.ThresholdConfig{Limits: limits}) },
		"hpa-cpu": func() autoscale.Policy {
			return autoscale.NewHPACPU(autoscale.HPACPUConfig{HPAConfig: hpa, Target: f.Target})
		},
		"hpa-external": func() autoscale.Policy {
			return autoscale.NewHPAExternal(autoscale.HPAExternalConfig{HPAConfig: hpa, AverageValue: f.Target})
		},
		"kpa": func() autoscale.Policy {
			return autoscale.NewKPA(autoscale.KPAConfig{Limits: limits, Utilisation: f.Target})
		},
	}[f.Policy], nil
}

type autoscalerRunCmd struct {
	Addr        string   `help:"TCP address of /decisions, /explain, /metrics and /health; - for none." default:":8000" env:"RESNET18_AUTOSCALER_ADDR"`
	Dispatchers []string `help:"Base URLs of all dispatchers, separated by commas. With dns+http://name:8080 each address of the name is one: give a headless Service." default:"http://127.0.0.1:8080" env:"RESNET18_DISPATCHERS"`
	Min         int      `help:"Fewest replicas." default:"1" env:"RESNET18_MIN_REPLICAS"`
	Max         int      `help:"Most replicas." default:"50" env:"RESNET18_MAX_REPLICAS"`
	policyFlags
	Interval time.Duration `help:"Time between decisions." default:"1s" env:"RESNET18_AUTOSCALER_INTERVAL"`
	DryRun   bool          `help:"Decide, and say so, but change nothing." env:"RESNET18_DRY_RUN"`
	State    string        `help:"File that keeps what the policy remembers over a restart." type:"path" placeholder:"FILE" env:"RESNET18_AUTOSCALER_STATE"`
	KEDAAddr string        `name:"keda-addr" help:"TCP address at which KEDA may ask the policy over gRPC, such as :9090. KEDA acts then: implies --dry-run." placeholder:"ADDR" env:"RESNET18_KEDA_ADDR"`
	targetFlags
}

// Help adds to kong's text what an option cannot say.
func (autoscalerRunCmd) Help() string {
	return `Figures that are old or missing never make it remove replicas. Several dispatchers behind one ordinary Service are
seen only by turns; name a headless Service with dns+http:// instead.

  resnet18cloud autoscaler --deployment resnet18-app --dispatchers dns+http://dispatchers:8080 --min 2 --max 20
  curl -s localhost:8000/decisions?changes=true | jq`
}

// Run decides until the first signal.
func (c *autoscalerRunCmd) Run(ctx context.Context, env *environment) error {
	newPolicy, err := c.make(autoscale.Limits{Min: c.Min, Max: c.Max})
	if err != nil {
		return err
	}
	if c.Policy == "hpa-cpu" {
		return errors.New("--policy hpa-cpu: nobody tells this autoscaler the CPU of pods; Kubernetes' own does it (kubectl apply -f k8s/hpa.yaml), and 'up' has it too")
	}
	for _, u := range c.Dispatchers {
		if err := dnsurl.Check(u); err != nil {
			return fmt.Errorf("--dispatchers: %w", err)
		}
	}
	scaler, err := c.open(env)
	if err != nil {
		return err
	}
	a, err := autoscaler.New(autoscaler.Config{
		Dispatchers: c.Dispatchers, Scaler: scaler, NewPolicy: newPolicy, Interval: c.Interval,
		Addr: c.Addr, DryRun: c.DryRun || c.KEDAAddr != "", StateFile: c.State, Log: env.log,
	})
	if err != nil {
		return err
	}
	if err := a.Listen(); err != nil {
		return fmt.Errorf("%w (choose another with --addr)", err)
	}
	if c.KEDAAddr == "" {
		return a.Run(ctx)
	}
	server, err := keda.New(keda.Config{Addr: c.KEDAAddr, Advice: func() keda.Advice { return adviceOf(a.Decisions(1, false)) }, Log: env.log})
	if err != nil {
		return err
	}
	if err := server.Listen(); err != nil {
		return fmt.Errorf("%w (choose another with --keda-addr)", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(ctx) })
	g.Go(func() error { return server.Run(ctx) })
	return g.Wait()
}

// adviceOf is the latest decision, dated by the figures that it rests on.
func adviceOf(latest []autoscaler.Record) keda.Advice {
	if len(latest) == 0 || latest[0].Age < 0 {
		return keda.Advice{}
	}
	r := latest[0]
	return keda.Advice{At: r.At.Add(-time.Duration(r.Age * float64(time.Second))), Replicas: r.Replicas, Working: r.Queue+r.InFlight > 0}
}

type autoscalerExplainCmd struct {
	URL  string `help:"The autoscaler." default:"http://127.0.0.1:8000" env:"RESNET18_AUTOSCALER_URL"`
	JSON bool   `help:"Print JSON."`
}

// Run prints the explanation.
func (c *autoscalerExplainCmd) Run(ctx context.Context, env *environment) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(c.URL, "/")+"/explain", nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w (say where the autoscaler is with --url)", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the explanation: %w", err)
	}
	var e struct {
		autoscaler.Explanation
		Error string `json:"error"`
		Hint  string `json:"hint"`
	}
	err = json.Unmarshal(body, &e)
	switch {
	case resp.StatusCode != http.StatusOK && e.Error != "":
		return fmt.Errorf("the autoscaler says: %s (%s)", e.Error, e.Hint)
	case resp.StatusCode != http.StatusOK || err != nil:
		return fmt.Errorf("%s is no autoscaler: it answers %s", c.URL, resp.Status)
	case c.JSON:
		_, err = env.stdout.Write(body)
	default:
		_, err = fmt.Fprint(env.stdout, e.Explanation)
	}
	return err
}
