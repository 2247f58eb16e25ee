//go:build !only_replica

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // for --schedule: images have no files of time zones

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/autoscaler"
	"github.com/resnet18cloud/resnet18cloud/autoscale/keda"
	"github.com/resnet18cloud/resnet18cloud/internal/dnsurl"
)

type autoscalerCmd struct {
	Watch   autoscalerRunCmd     `cmd:"" name:"run" default:"withargs" help:"Scale a Kubernetes Deployment (default)."`
	Explain autoscalerExplainCmd `cmd:"" help:"Ask a running autoscaler why there are this many replicas and what would change that."`
}

// Help adds to kong's text what an option cannot say.
func (autoscalerCmd) Help() string {
	return `'autoscaler ...' is short for 'autoscaler run ...'; its options are below. To scale the replicas of
'up', use 'up --autoscale 1:4' instead.`
}

// policyFlags choose a policy and its settings.
type policyFlags struct {
	Policy string        `help:"Scaling policy: ${policy_help}." enum:"${policies}" default:"deadline" env:"RESNET18_POLICY"`
	Target float64       `help:"Target per replica, by policy. ${target_help}. Default: that of the policy, in parentheses." env:"RESNET18_TARGET"`
	SLO    time.Duration `name:"slo" help:"Maximum response time that policy deadline aims for." default:"500ms" env:"RESNET18_SLO"`

	changes time.Duration // between changes of the number of replicas, if something else makes them
}

// policyVars are the texts about policies in flags.
func policyVars() kong.Vars {
	var names, help, targets []string
	for _, k := range autoscale.Kinds() {
		names = append(names, k.Name)
		help = append(help, k.Name+" ("+k.Help+")")
		if k.Target != "" {
			targets = append(targets, k.Name+": "+k.Target)
		}
	}
	return kong.Vars{"policies": strings.Join(names, ","), "policy_help": strings.Join(help, ", "), "target_help": strings.Join(targets, "; ")}
}

// make returns the constructor of the policy.
func (f policyFlags) make(limits autoscale.Limits) (func() autoscale.Policy, error) {
	kind, known := autoscale.KindOf(f.Policy)
	switch err := limits.Validate(); {
	case err != nil:
		return nil, err
	case !known:
		return nil, fmt.Errorf("--policy %s: no such policy", f.Policy)
	case limits.Min == autoscale.ToZero && !kind.ToZero:
		return nil, fmt.Errorf("--policy %s needs a minimum of 1 or more replicas; policy deadline can do without", f.Policy)
	case !(f.Target >= 0):
		return nil, fmt.Errorf("--target %v: want 0 or more", f.Target)
	case f.SLO <= 0:
		return nil, fmt.Errorf("--slo %s: want a time above 0", f.SLO)
	}
	settings := autoscale.Settings{Limits: limits, SLO: f.SLO, Target: f.Target, Interval: f.changes}
	return func() autoscale.Policy { return kind.New(settings) }, nil
}

type autoscalerRunCmd struct {
	Addr           string   `help:"TCP address for /decisions, /explain, /metrics and /health; - disables it." type:"listen-or-none" placeholder:"ADDR" default:":8000" env:"RESNET18_AUTOSCALER_ADDR"`
	Dispatchers    []string `help:"Base URLs of all dispatchers, separated by commas. dns+http://name:8080 means every address of the name: use a headless Service." type:"url" placeholder:"URL,..." default:"http://127.0.0.1:8080" env:"RESNET18_DISPATCHERS" group:"dispatchers"`
	Min            int      `help:"Minimum number of replicas. With 0, policy deadline removes all after a minute without images; the first image starts one." default:"1" env:"RESNET18_MIN_REPLICAS" group:"scaling"`
	Max            int      `help:"Maximum number of replicas." default:"50" env:"RESNET18_MAX_REPLICAS" group:"scaling"`
	policyFlags    `group:"scaling"`
	Interval       time.Duration `help:"Time between decisions." default:"1s" env:"RESNET18_AUTOSCALER_INTERVAL" group:"scaling"`
	Schedule       []string      `help:"Minimum and maximum at some times of the week, in the time zone of TZ, separated by semicolons; the first that fits counts: mon-fri 08:00-18:00 4:20; 22:00-06:00 1:5." sep:";" placeholder:"DAYS FROM-TO MIN:MAX" env:"RESNET18_SCHEDULE" group:"scaling"`
	Shadow         bool          `help:"Change nothing, and scale replicas of a model beside what acts, such as a HorizontalPodAutoscaler: /explain says how late images would have been, and at what cost. Implies --dry-run." env:"RESNET18_SHADOW" group:"scaling"`
	DryRun         bool          `help:"Decide and log, but change nothing." env:"RESNET18_DRY_RUN" group:"scaling"`
	State          string        `help:"File that keeps the policy's state across restarts." type:"path" placeholder:"FILE" env:"RESNET18_AUTOSCALER_STATE" group:"scaling"`
	KEDAAddr       string        `name:"keda-addr" help:"TCP address for KEDA's external scaler over gRPC, such as :9090. KEDA then sets the number of replicas: implies --dry-run." type:"listen" placeholder:"ADDR" env:"RESNET18_KEDA_ADDR" group:"scaling"`
	DispatcherCA   string        `name:"dispatcher-ca" help:"PEM file of the certificate authorities that dispatchers with https:// are trusted by. Default: those of the system. It and the next two are read again when they change." type:"existingfile" placeholder:"FILE" env:"RESNET18_DISPATCHER_CA" group:"dispatchers"`
	DispatcherCert string        `name:"dispatcher-cert" help:"PEM file of the certificate to show to dispatchers with --tls-client-ca." type:"existingfile" placeholder:"FILE" env:"RESNET18_DISPATCHER_CERT" group:"dispatchers"`
	DispatcherKey  string        `name:"dispatcher-key" help:"PEM file of that certificate's private key." type:"existingfile" placeholder:"FILE" env:"RESNET18_DISPATCHER_KEY" group:"dispatchers"`
	serverFlags    `group:"security"`
	targetFlags    `group:"kubernetes"`
	accessFlags    `group:"security"`
	TokenFile      string `help:"File with the token to send to dispatchers, which need it if they run with --keys. Its key needs scope read, or admin to also know which replicas are idle. It is read again when it changes." type:"path" placeholder:"FILE" env:"RESNET18_AUTOSCALER_TOKEN_FILE" group:"dispatchers"`
}

// policy returns the constructor of the policy, as a shadow and with time windows if asked for, and the widest limits.
func (c *autoscalerRunCmd) policy() (func() autoscale.Policy, autoscale.Limits, error) {
	if c.Min < 0 {
		return nil, autoscale.Limits{}, fmt.Errorf("--min %d: want 0 or more", c.Min)
	}
	if c.Shadow && c.KEDAAddr != "" {
		return nil, autoscale.Limits{}, errors.New("--shadow has no effect on KEDA: leave out --keda-addr")
	}
	usual := limitsFrom(c.Min, c.Max)
	if err := usual.Validate(); err != nil {
		return nil, usual, err
	}
	var windows []autoscale.TimeWindow
	for _, text := range c.Schedule {
		w, err := autoscale.ParseTimeWindow(text)
		if err != nil {
			return nil, usual, fmt.Errorf("--schedule: %w", err)
		}
		windows = append(windows, w)
	}
	if err := checkZone(os.Getenv("TZ")); err != nil && len(windows) > 0 {
		return nil, usual, err
	}
	if c.KEDAAddr != "" {
		c.changes = keda.Sync
	}
	limits := autoscale.WidestLimits(usual, windows)
	inner, err := c.make(limits)
	return func() autoscale.Policy {
		p := inner()
		if len(windows) > 0 {
			p = autoscale.Scheduled{Policy: p, Usual: usual, Windows: windows}
		}
		if c.Shadow {
			p = autoscale.NewShadow(p, c.SLO)
		}
		return p
	}, limits, err
}

// checkZone returns an error for a TZ that is unknown: Go takes it for UTC, and windows would be hours off.
func checkZone(tz string) error {
	tz = strings.TrimPrefix(tz, ":")
	if strings.HasPrefix(tz, "/") { // a file
		return nil
	}
	if _, err := time.LoadLocation(tz); err != nil {
		return fmt.Errorf("--schedule: TZ=%s is not a time zone (use one such as Europe/Berlin): %w", tz, err)
	}
	return nil
}

// limitsFrom are limits as people write them: with a minimum of 0 all replicas may be removed.
func limitsFrom(least, most int) autoscale.Limits {
	if least == 0 {
		least = autoscale.ToZero
	}
	return autoscale.Limits{Min: least, Max: most}
}

// Help adds to kong's text what an option cannot say.
func (autoscalerRunCmd) Help() string {
	return `Metrics that are old or missing never remove replicas. An ordinary Service shows only one of several dispatchers at a
time: name a headless Service with dns+http:// instead.

  resnet18cloud autoscaler --deployment resnet18-app --min 2 --max 20
  resnet18cloud autoscaler --deployment app --schedule 'mon-fri 8:00-18:00 4:20'
  resnet18cloud autoscaler --deployment app --shadow
  resnet18cloud autoscaler --deployment app --dispatchers dns+http://heads:8080
  curl -s localhost:8000/decisions?changes=true | jq`
}

// Run scales until the first signal.
func (c *autoscalerRunCmd) Run(ctx context.Context, env *environment) error {
	newPolicy, limits, err := c.policy()
	if err != nil {
		return badUsage(err)
	}
	if kind, _ := autoscale.KindOf(c.Policy); kind.NeedsCPU {
		return badUsage(fmt.Errorf("--policy %s: this autoscaler does not know the CPU usage of pods; use a HorizontalPodAutoscaler (kubectl apply -f k8s/hpa.yaml), or 'up', which knows it", c.Policy))
	}
	for _, u := range c.Dispatchers {
		if err := dnsurl.Check(u); err != nil {
			return badUsage(fmt.Errorf("--dispatchers: %w", err))
		}
	}
	if err := badUsage(c.check()); err != nil {
		return err
	}
	dispatcherTLS, err := clientTLS("dispatcher", c.DispatcherCA, c.DispatcherCert, c.DispatcherKey)
	if err != nil {
		return badUsage(err)
	}
	scaler, err := c.open(env)
	if err != nil {
		return err
	}
	guard, err := c.guard(env.log)
	if err != nil {
		return err
	}
	token, err := openToken("--token-file", c.TokenFile, env.log)
	if err != nil {
		return err
	}
	a, err := autoscaler.New(autoscaler.Config{
		Version: version, Revision: ownRevision(), Access: guard, Token: token.Token, Dispatchers: c.Dispatchers, Scaler: scaler, NewPolicy: newPolicy, Interval: c.Interval,
		Addr: c.Addr, TLS: c.files(), AdminAddr: c.AdminAddr, Guard: c.webGuard(), DispatcherTLS: dispatcherTLS,
		DryRun: c.DryRun || c.Shadow || c.KEDAAddr != "", ToZero: limits.Min == autoscale.ToZero, StateFile: c.State, Log: env.log,
	})
	if err != nil {
		return badUsage(err)
	}
	if err := a.Listen(); err != nil {
		return fmt.Errorf("%w (use --addr to choose another)", err)
	}
	c.warnIfOpen(env.log, c.Addr, guard != nil)
	env.log.Info("autoscaler ready", "url", a.URL(), "dispatchers", strings.Join(c.Dispatchers, ","), "policy", c.Policy, "min", c.Min, "max", c.Max,
		"dry_run", c.DryRun || c.Shadow || c.KEDAAddr != "", "shadow", c.Shadow)
	if c.KEDAAddr == "" {
		return runFollowing(ctx, guard, token, a.Run)
	}
	server, err := keda.New(keda.Config{Addr: c.KEDAAddr, Advice: func() keda.Advice { return adviceOf(a.Decisions(1, false)) }, Log: env.log})
	if err != nil {
		return err
	}
	if err := server.Listen(); err != nil {
		return fmt.Errorf("%w (use --keda-addr to choose another)", err)
	}
	return runFollowing(ctx, guard, token, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return a.Run(ctx) })
		g.Go(func() error { return server.Run(ctx) })
		return g.Wait()
	})
}

// adviceOf is the latest decision, with the time of the metrics it is based on.
func adviceOf(latest []autoscaler.Record) keda.Advice {
	if len(latest) == 0 || latest[0].Age < 0 {
		return keda.Advice{}
	}
	r := latest[0]
	return keda.Advice{At: r.At.Add(-time.Duration(r.Age * float64(time.Second))), Replicas: r.Replicas, Working: r.Queue+r.InFlight > 0}
}

type autoscalerExplainCmd struct {
	URL         string `help:"Base URL of the autoscaler or, with --admin-addr, of that address." type:"url" placeholder:"URL" default:"http://127.0.0.1:8000" env:"RESNET18_AUTOSCALER_URL"`
	Server      string `arg:"" name:"server" optional:"" help:"Base URL of the autoscaler, or its address: the same as --url." type:"url" placeholder:"URL"`
	JSON        bool   `help:"Print JSON."`
	callerFlags `envprefix:"RESNET18_EXPLAIN_" set:"needs=scope admin"`
}

// AfterApply makes the argument the URL.
func (c *autoscalerExplainCmd) AfterApply() error {
	c.URL = cmp.Or(c.Server, c.URL)
	return nil
}

// Help adds to kong's text what an option cannot say.
func (autoscalerExplainCmd) Help() string {
	return `  resnet18cloud autoscaler explain
  resnet18cloud autoscaler explain 127.0.0.1:8000 --json`
}

// Run prints the explanation.
func (c *autoscalerExplainCmd) Run(ctx context.Context, env *environment) error {
	if _, err := server("--url", c.URL, "http://127.0.0.1:8000"); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(c.URL, "/")+"/explain", nil)
	if err != nil {
		return err
	}
	client, err := c.client(false)
	if err != nil {
		return err
	}
	client.Timeout = 10 * time.Second
	if err := c.authorize(req.Header); err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no autoscaler answers at %s: %w (start one with 'resnet18cloud up --autoscale 1:4', or give its URL)", c.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read explanation: %w", err)
	}
	var e struct {
		autoscaler.Explanation
		Error string `json:"error"`
		Hint  string `json:"hint"`
	}
	err = json.Unmarshal(body, &e)
	switch {
	case resp.StatusCode != http.StatusOK && e.Error != "":
		return fmt.Errorf("the autoscaler responded: %s%s", e.Error, explainHint(resp.StatusCode, e.Hint))
	case resp.StatusCode != http.StatusOK || err != nil:
		return fmt.Errorf("%s is not an autoscaler: it responded %s", c.URL, resp.Status)
	case c.JSON:
		_, err = env.stdout.Write(body)
	default:
		_, err = fmt.Fprint(env.stdout, e.Explanation)
	}
	return err
}

// explainHint says in parentheses what to do about a refusal. hint is the server's, which cannot know the options.
func explainHint(status int, hint string) string {
	switch status {
	case http.StatusUnauthorized:
		hint = "set --token-file to a file with the token of a key with scope admin"
	case http.StatusNotFound:
		hint = "if the autoscaler runs with --admin-addr, set --url to that address"
	}
	if hint == "" {
		return ""
	}
	return " (" + hint + ")"
}
