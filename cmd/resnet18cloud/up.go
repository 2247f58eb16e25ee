//go:build !only_replica && !only_dispatcher

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/autoscaler"
	"github.com/resnet18cloud/resnet18cloud/autoscale/local"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/engine"
	weightsfile "github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/internal/procs"
	"github.com/resnet18cloud/resnet18cloud/model"
	"github.com/resnet18cloud/resnet18cloud/web"
)

// After Ctrl-C, up ends within five seconds: the dispatcher finishes accepted requests, then the replicas stop.
const (
	upDrainTimeout   = 3500 * time.Millisecond
	upReplicaTimeout = 900 * time.Millisecond
)

// sampleImages is where make images stores images.
const sampleImages = "images/imagenet-sample-images"

type upCmd struct {
	Addr           string `help:"TCP address of the dispatcher and the web page. The default serves only this machine; :8080 serves other machines too." type:"listen" placeholder:"ADDR" default:"127.0.0.1:8080" env:"RESNET18_DISPATCHER_ADDR"`
	Replicas       int    `help:"Number of replica processes; they share the CPUs." default:"1" env:"RESNET18_REPLICAS" group:"replicas"`
	Autoscale      string `help:"Scale the number of replica processes between these two; they share the CPUs. With a minimum of 0, a minute without images ends all; the first image starts one." placeholder:"MIN:MAX" env:"RESNET18_AUTOSCALE" group:"scaling"`
	policyFlags    `group:"scaling"`
	AutoscalerAddr string `help:"TCP address for the autoscaler's /decisions, /explain and /metrics; - disables it." type:"listen-or-none" placeholder:"ADDR" default:"127.0.0.1:8000" env:"RESNET18_AUTOSCALER_ADDR" group:"scaling"`
	ReplicaPort    int    `help:"First port of replicas on 127.0.0.1. Ports in use are skipped; 0 means any free port." default:"5000" env:"RESNET18_REPLICA_PORT" group:"replicas"`
	Model          string `help:"Weight file. Default: the file that 'model pull' fetched; without one, random weights." type:"path" placeholder:"FILE" env:"RESNET18_MODEL" group:"model"`
	Precision      string `help:"Arithmetic of the replicas: fp32, int8, or auto, the fastest on this CPU that the weights allow." enum:"auto,fp32,int8" default:"auto" env:"RESNET18_PRECISION" group:"model"`
	describeFlags  `group:"model"`
	modelsFlags    `group:"model"`

	serverFlags  `group:"security"`
	storeFlags   `group:"storage"`
	uploadFlags  `group:"limits"`
	clientFlags  `group:"limits"`
	accessFlags  `group:"security"`
	webhookFlags `group:"security"`
	traceFlags   `group:"traces"`

	DataDir string `help:"Folder for queue and results. Default: resnet18cloud/queue in the user's cache folder." type:"path" placeholder:"DIR" env:"RESNET18_DATA_DIR" group:"storage"`
	Open    bool   `help:"Open the page in the browser of this machine." env:"RESNET18_OPEN"`
	Images  string `help:"Folder of images that the web page offers. Default: images/imagenet-sample-images if it exists, else drawings." type:"existingdir" placeholder:"DIR" env:"RESNET18_IMAGES"`
}

// Help adds to kong's text what an option cannot say.
func (upCmd) Help() string {
	return `Only this machine can use it by default. Ctrl-C finishes accepted requests; a second one ends it immediately.

  resnet18cloud up
  resnet18cloud up --open --replicas 2
  resnet18cloud up --addr :8081 --model mine.safetensors --autoscale 1:4`
}

// Run serves until the first signal, finishes accepted requests, and stops the replicas.
func (c upCmd) Run(ctx context.Context, env *environment) error {
	env = env.quiet()
	if c.Replicas < 1 {
		return badUsage(fmt.Errorf("--replicas %d: want at least 1", c.Replicas))
	}
	if err := badUsage(checkPort("--replica-port", c.ReplicaPort)); err != nil {
		return err
	}
	if err := badUsage(c.serverFlags.check()); err != nil {
		return err
	}
	if err := badUsage(c.modelsFlags.check(c.Model, c.describeFlags)); err != nil {
		return err
	}
	limits, err := c.limits()
	if err != nil {
		return badUsage(err)
	}
	if c.DataDir == "" {
		c.DataDir = defaultDataDir()
	}
	weights, err := c.weights(env)
	if err != nil {
		return err
	}
	files, err := c.checkWeights(ctx, weights)
	if err != nil {
		return err
	}
	var shared []*os.File
	if limits.Max > 1 { // a single one has no one to share with
		if shared, err = shareWeights(ctx, files, c.options()); err != nil {
			return err
		}
	}
	replicas := &upReplicas{limits: limits, autoscaled: c.Autoscale != ""}
	command, err := c.replicaCommand(env, weights, shared, replicas.cpus)
	if err != nil {
		return err
	}
	page, err := web.Handler(web.Config{Images: c.imagesFS(), Thumbnail: thumbnail, MaxImageBytes: c.MaxImageBytes})
	if err != nil {
		return err
	}
	cfg := dispatcherConfig(c.storeFlags, c.uploadFlags, c.clientFlags)
	cfg.Addr, cfg.NATS.DataDir, cfg.DrainQueue, cfg.DrainTimeout = c.Addr, c.DataDir, true, upDrainTimeout
	cfg.Page, cfg.Log, cfg.WebhookAllow = page, env.log, c.WebhookAllow
	cfg.TLS, cfg.AdminAddr, cfg.Guard = c.files(), c.AdminAddr, c.webGuard()
	guard, err := c.guard(env.log)
	if err != nil {
		return err
	}
	cfg.Access, cfg.Replicas = guard, replicas
	var scaling *autoscaler.Autoscaler // nil without --autoscale
	if c.Autoscale != "" {
		cfg.Scaling = func(context.Context) (json.RawMessage, error) { return json.Marshal(scaling.Summary()) }
	}
	exporter, err := c.traceFlags.open(ctx, env, "dispatcher")
	if err != nil {
		return err
	}
	defer exporter.Close()
	cfg.Tracer = exporter.Tracer()
	d, err := dispatch.New(cfg)
	if err != nil {
		return badUsage(err)
	}
	if err := d.Listen(); err != nil {
		return fmt.Errorf("%w (use --addr to choose another; a second up needs its own --data-dir too: up --addr 127.0.0.1:8081 --data-dir second)", err)
	}
	c.warnIfOpen(env.log, c.Addr, guard != nil)
	replicas.local, err = local.New(local.Config{
		Command: command, Count: max(1, limits.Min), Max: replicas.most(), CPUs: share(limits.Max), FirstPort: c.ReplicaPort, Log: env.log,
		InFlight: func() map[string]int { return inFlight(d) },
		Announce: func(urls []string) {
			if err := d.SetEndpoints(urls); err != nil {
				env.log.Error("cannot use replicas", "urls", urls, "error", err)
			}
		},
	})
	if err != nil {
		return err
	}
	if c.Autoscale != "" {
		if scaling, err = c.autoscaler(env, d, guard, replicas.local, limits); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() {
		env.log.Info("stopping: finishing accepted requests; the rest is kept for the next start (press Ctrl-C again to quit immediately)")
	})()
	return runFollowing(ctx, guard, nil, func(ctx context.Context) error {
		return runUp(ctx, d, replicas.local, scaling, func() {
			url := d.URL() + cfg.BasePath
			greet(env.stdout, url, weights, c.picture(), exposed(c.Addr), guard != nil, scaling)
			if c.Open {
				openPage(ctx, env.log, url+"/")
			}
		})
	})
}

// runUp runs the dispatcher until ctx ends, and the replicas until the dispatcher has ended; when either
// fails, the other ends too. It calls serving once, when the first replica is ready.
func runUp(ctx context.Context, d *dispatch.Dispatcher, replicas *local.Replicas, scaling *autoscaler.Autoscaler, serving func()) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var g errgroup.Group
	g.Go(func() error { defer end(); return d.Run(ctx) })
	g.Go(func() error { defer stop(); return replicas.Run(life) })
	if scaling != nil {
		g.Go(func() error { defer stop(); return scaling.Run(ctx) })
	}
	g.Go(func() error {
		if d.AwaitReplica(ctx) == nil {
			serving()
		}
		return nil
	})
	return g.Wait()
}

// limits returns the number of replicas by --replicas, or the range by --autoscale.
func (c upCmd) limits() (autoscale.Limits, error) {
	if c.Autoscale == "" {
		return autoscale.Limits{Min: c.Replicas, Max: c.Replicas}, nil
	}
	limits, err := autoscale.ParseLimits(c.Autoscale)
	if err != nil {
		return autoscale.Limits{}, fmt.Errorf("--autoscale %q: want minimum and maximum number of replicas, such as 1:4, or 0:4 to have none without load", c.Autoscale)
	}
	return limits, nil
}

// autoscaler makes the autoscaler of the replicas and listens on its address.
func (c upCmd) autoscaler(env *environment, d *dispatch.Dispatcher, guard *access.Guard, replicas *local.Replicas, limits autoscale.Limits) (*autoscaler.Autoscaler, error) {
	newPolicy, err := c.make(limits)
	if err != nil {
		return nil, badUsage(err)
	}
	var token string // for the dispatcher in the same process
	if guard != nil {
		token = guard.Issue(access.Client{Name: "autoscaler-of-up", Scopes: access.Admin})
	}
	a, err := autoscaler.New(autoscaler.Config{
		Version: version, Revision: ownRevision(),
		Dispatchers: []string{d.URL()}, HTTP: &http.Client{Transport: inProcess{d}}, Scaler: replicas, NewPolicy: newPolicy, Addr: c.AutoscalerAddr, Log: env.log,
		ToZero: limits.Min == autoscale.ToZero,
		Access: guard, Token: func() string { return token },
	})
	if err != nil {
		return nil, err
	}
	if err := a.Listen(); err != nil {
		return nil, fmt.Errorf("%w (use --autoscaler-addr to choose another)", err)
	}
	return a, nil
}

// inFlight is how many images each replica has in progress.
func inFlight(d *dispatch.Dispatcher) map[string]int {
	images := make(map[string]int)
	for _, e := range d.Endpoints() {
		images[e.URL] = e.InFlight
	}
	return images
}

// weights finds the weight file for the replicas, or the folder of several. It is empty, with a warning, if there is none.
func (c upCmd) weights(env *environment) (string, error) {
	if c.Models != "" {
		return c.Models, nil
	}
	path, err := model.Find(c.Model)
	if errors.Is(err, model.ErrNone) {
		env.log.Warn(noWeights)
		return "", nil
	}
	return path, err
}

const noWeights = "NO WEIGHTS: replicas run on random weights, and their results are meaningless. " +
	"To fetch weights, run: resnet18cloud model pull; to serve a file that you have, add --model FILE"

// share is how many CPUs each replica gets.
func share(replicas int) int { return max(1, runtime.GOMAXPROCS(0)/replicas) }

// openPage opens a page in the browser. That there is none is no reason to stop.
func openPage(ctx context.Context, log *slog.Logger, url string) {
	args := []string{"xdg-open", url}
	switch runtime.GOOS {
	case "darwin":
		args[0] = "open"
	case "windows":
		args = []string{"rundll32", "url.dll,FileProtocolHandler", url}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, args[0], args[1:]...).Run(); err != nil {
		log.Warn("cannot open a browser: open the page yourself", "url", url, "error", err)
	}
}

// checkWeights runs the checks of 'model verify', so that weights that replicas would refuse end up before they start. Of a
// folder of models, replicas would refuse one without a default model. It returns the files that replicas will load, none for
// random weights.
func (c upCmd) checkWeights(ctx context.Context, path string) (files []string, err error) {
	switch {
	case c.Models != "":
		return c.checkModels(ctx, c.Precision)
	case path == "":
		return nil, nil
	}
	if _, err := checkFile(path, c.options(), c.Precision); err != nil {
		if other, ok := errors.AsType[*fs.PathError](err); ok && other.Path != path { // such as a missing --labels
			return nil, err
		}
		return nil, fmt.Errorf("%w (try another --model; 'resnet18cloud model verify %s' shows what the file has)", err, path)
	}
	return []string{path}, nil
}

// checkFile runs the checks of 'model verify', and that a weight file can be served with a precision.
func checkFile(path string, o model.Options, precision string) (model.Report, error) {
	r, err := model.Verify(path, o)
	if err == nil && precision == engine.PrecisionFP32 && r.Metadata[weightsfile.MetaPrecision] == engine.PrecisionInt8 {
		err = fmt.Errorf("%s is quantized and cannot be served in fp32 (leave out --precision, or give the file it was made of)", path)
	}
	return r, err
}

// shareWeights packs the weights of files once for all replicas. It returns none if the system cannot share memory; each replica
// then packs its own, as it does models that come later. The files stay open until up ends.
func shareWeights(ctx context.Context, paths []string, o model.Options) (shared []*os.File, err error) {
	for _, path := range paths {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		f, err := shareFile(path, o)
		if errors.Is(err, errors.ErrUnsupported) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		shared = append(shared, f)
	}
	return shared, nil
}

func shareFile(path string, o model.Options) (*os.File, error) {
	set, err := model.Load(path, o)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	return engine.Share(engine.Config{Weights: set})
}

// replicaCommand returns the command of a replica: this program, with the options that concern it. cpus is how many CPUs one may
// use: it works on as many images at a time.
func (c upCmd) replicaCommand(env *environment, weights string, shared []*os.File, cpus func() int) (func(name, addr string) procs.Process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the executable for replicas: %w", err)
	}
	// Replicas listen on the loopback interface, and the keys are those of the dispatcher's clients.
	args := append(env.logArgs(), "replica", "--keys", "-", "--max-image-bytes", strconv.FormatInt(c.MaxImageBytes, 10),
		"--max-upload-bytes", strconv.FormatInt(c.MaxUploadBytes, 10))
	switch {
	case c.Models != "":
		args = append(args, c.modelsFlags.args()...)
	case weights == "":
		args = append(args, "--random-weights")
	default:
		args = append(append(args, "--model", weights), c.describeFlags.args()...)
	}
	args = append(args, "--precision", c.Precision)
	args = append(args, c.traceFlags.args()...)
	if len(shared) > 0 {
		args = append(args, "--shared-weights", strconv.Itoa(len(shared)))
	}
	environ := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(serverEnv, name)
	})
	environ = serviceEnv(environ, "replica")
	return func(name, addr string) procs.Process {
		environ := environ
		if n := cpus(); n != share(1) { // else it follows the quota of a container
			environ = append(environ[:len(environ):len(environ)], "GOMAXPROCS="+strconv.Itoa(n))
		}
		p := procs.Process{
			Name: name, Path: program, Args: append(args[:len(args):len(args)], "--addr", addr), Env: environ, Files: shared,
			Output: env.stderr, StopTimeout: upReplicaTimeout, Log: env.log,
		}
		if env.logFormat == "text" { // JSON lines have no room for a prefix
			p.Prefix = name + ": "
		}
		return p
	}, nil
}

// picture is a file for the examples of the greeting: one that --images offers, if it has any.
func (c upCmd) picture() string {
	if goldfinch, err := filepath.Glob(sampleImages + "/*goldfinch*"); c.Images == "" && err == nil && len(goldfinch) > 0 {
		return goldfinch[0]
	}
	if first, err := images.First(cmp.Or(c.Images, sampleImages)); err == nil {
		return first
	}
	return "picture.jpg"
}

// shellQuoted returns a word as a shell reads it.
func shellQuoted(word string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
	}
	if strings.IndexFunc(word, func(r rune) bool { return !safe(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// imagesFS is the folder of images for the web page; nil means drawings.
func (c upCmd) imagesFS() fs.FS {
	if c.Images != "" {
		return os.DirFS(c.Images)
	}
	if _, err := os.Stat(sampleImages); err == nil {
		return os.DirFS(sampleImages)
	}
	return nil
}

// greet prints the addresses and what to do next. url has the path below which clients see the server, and picture is a file to try. open
// reports whether other machines can reach the server, keys whether clients need a key.
func greet(w io.Writer, url, weights, picture string, open, keys bool, scaling *autoscaler.Autoscaler) {
	curl, token := "curl ", ""
	if keys {
		token = " --token-file FILE"
		curl += `-H "Authorization: Bearer $TOKEN" `
	}
	lines := []string{
		"", "ResNet18Cloud is running at " + url, "",
		"  page    " + url + "/",
		"  live    " + url + "/dashboard, or in a terminal: resnet18cloud status " + url + token,
		"  try     " + curl + "-F " + shellQuoted("image=@"+picture) + " " + url + "/predict",
		"  load    resnet18cloud loadtest --url " + url + token,
		"  watch   " + curl + url + "/status",
		"  stop    Ctrl-C",
		"",
	}
	if scaling != nil && scaling.URL() != "" {
		lines = slices.Insert(lines, len(lines)-2, "  why     "+curl+scaling.URL()+"/decisions",
			"          in sentences: resnet18cloud autoscaler explain "+scaling.URL()+token)
	}
	if !open {
		port, _, _ := strings.Cut(url[strings.LastIndex(url, ":")+1:], "/") // a base path has no colon
		lines = slices.Insert(lines, len(lines)-2, "  open    add --addr :"+port+" to the command, for other machines")
	}
	if weights == "" {
		lines = append(lines, noWeights, "")
	}
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}
