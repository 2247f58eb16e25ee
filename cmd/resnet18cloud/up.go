package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/procs"
	"github.com/resnet18cloud/resnet18cloud/model"
	"github.com/resnet18cloud/resnet18cloud/web"
)

// Ctrl-C ends up within five seconds: the dispatcher finishes what was accepted, then the replicas stop.
const (
	upDrainTimeout   = 3500 * time.Millisecond
	upReplicaTimeout = 900 * time.Millisecond
)

// sampleImages is where make images puts pictures.
const sampleImages = "images/imagenet-sample-images"

type upCmd struct {
	Addr      string `help:"TCP address of the dispatcher and the page." default:":8080" env:"RESNET18_DISPATCHER_ADDR"`
	Replicas  int    `help:"Replica processes; they share the CPUs." default:"1" env:"RESNET18_REPLICAS"`
	Autoscale string `help:"Let an autoscaler decide on the number of replicas, between these two; they start as processes and share the CPUs." placeholder:"MIN:MAX" env:"RESNET18_AUTOSCALE"`
	policyFlags
	AutoscalerAddr string `help:"TCP address of the autoscaler's /decisions, /explain and /metrics; - for none." default:"127.0.0.1:8000" env:"RESNET18_AUTOSCALER_ADDR"`
	ReplicaPort    int    `help:"First port for replicas, on 127.0.0.1; ports in use are skipped, 0 means any." default:"5000" env:"RESNET18_REPLICA_PORT"`
	Model          string `help:"Weight file; by default the one that model pull fetched. Without any, random weights." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	Precision      string `help:"Arithmetic of the replicas: fp32 or int8; by default what the weights are made for." enum:",fp32,int8" default:"" env:"RESNET18_PRECISION"`

	QueueCapacity  int    `help:"Requests that may wait; further ones are refused with 503." default:"200" env:"RESNET18_QUEUE_CAPACITY"`
	QueueBytes     int64  `help:"Maximum bytes of the images in the queue; on a small disk less is used." default:"1073741824" env:"RESNET18_QUEUE_BYTES"`
	ResultsBytes   int64  `help:"Maximum bytes of the results kept; the oldest are dropped first." default:"268435456" env:"RESNET18_RESULTS_BYTES"`
	CacheSize      int    `help:"Results in the cache; -1 turns it off." default:"1000" env:"RESNET18_CACHE_SIZE"`
	MaxUploadBytes int64  `help:"Memory in bytes of all uploads together. When it is used up, slow uploads are refused." default:"268435456" env:"RESNET18_MAX_UPLOAD_BYTES"`
	MinUploadRate  int64  `help:"Least rate of an upload in bytes per second; slower ones are refused with 408. -1 means any." default:"16384" env:"RESNET18_MIN_UPLOAD_RATE"`
	DataDir        string `help:"Folder for queue and results; by default resnet18cloud/queue in your cache folder." type:"path" placeholder:"DIR" env:"RESNET18_DATA_DIR"`
	Images         string `help:"Folder of pictures that the page offers; by default images/imagenet-sample-images if it is there, else drawings." type:"existingdir" placeholder:"DIR" env:"RESNET18_IMAGES"`
}

// Run serves until the first signal, finishes what was accepted, and stops the replicas.
func (c upCmd) Run(ctx context.Context, env *environment) error {
	if c.Replicas < 1 {
		return fmt.Errorf("--replicas %d: want at least 1", c.Replicas)
	}
	limits, err := c.limits()
	if err != nil {
		return err
	}
	if c.DataDir == "" {
		c.DataDir = defaultDataDir()
	}
	weights, err := c.weights(env)
	if err != nil {
		return err
	}
	shared, err := shareWeights(weights, limits.Max)
	if err != nil {
		return err
	}
	command, err := c.replicaCommand(env, weights, shared, limits.Max)
	if err != nil {
		return err
	}
	page, err := web.Handler(c.imagesFS())
	if err != nil {
		return err
	}
	d, err := dispatch.New(dispatch.Config{
		Addr: c.Addr, QueueCapacity: c.QueueCapacity, CacheSize: c.CacheSize,
		QueueMaxBytes: c.QueueBytes, ResultsMaxBytes: c.ResultsBytes,
		MaxUploadBytes: c.MaxUploadBytes, MinUploadRate: c.MinUploadRate,
		NATS: natsconn.Config{DataDir: c.DataDir}, DrainQueue: true, DrainTimeout: upDrainTimeout,
		Page: page, Log: env.log,
	})
	if err != nil {
		return err
	}
	if err := d.Listen(); err != nil {
		return fmt.Errorf("%w (choose another with --addr)", err)
	}
	replicas, err := local.New(local.Config{
		Command: command, Count: limits.Min, Max: limits.Max, CPUs: share(limits.Max), FirstPort: c.ReplicaPort, Log: env.log,
		InFlight: func() map[string]int { return inFlight(d) },
		Announce: func(urls []string) {
			if err := d.SetEndpoints(urls); err != nil {
				env.log.Error("replicas are not used", "urls", urls, "error", err)
			}
		},
	})
	if err != nil {
		return err
	}
	var scaling *autoscaler.Autoscaler // nil: nobody scales
	if c.Autoscale != "" {
		if scaling, err = c.autoscaler(env, d.URL(), replicas, limits); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() {
		env.log.Info("stopping: finishing what was accepted; the rest is kept for the next start (Ctrl-C again ends at once)")
	})()
	return runUp(ctx, d, replicas, scaling, func() { greet(env.stdout, d.URL(), weights, scaling) })
}

// runUp runs the dispatcher until ctx ends, and the replicas until the dispatcher has ended; when either
// fails, the other ends too. It calls serving once, when images are worked on.
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

// limits are how many replicas there may be: as many as --replicas says, or what --autoscale allows.
func (c upCmd) limits() (autoscale.Limits, error) {
	if c.Autoscale == "" {
		return autoscale.Limits{Min: c.Replicas, Max: c.Replicas}, nil
	}
	least, most, colon := strings.Cut(c.Autoscale, ":")
	from, err1 := strconv.Atoi(least)
	to, err2 := strconv.Atoi(most)
	if !colon || err1 != nil || err2 != nil || from < 1 || to < from {
		return autoscale.Limits{}, fmt.Errorf("--autoscale %q: want the fewest and the most replicas, such as 1:4", c.Autoscale)
	}
	return autoscale.Limits{Min: from, Max: to}, nil
}

// autoscaler makes the autoscaler of the replicas, and takes its address.
func (c upCmd) autoscaler(env *environment, dispatcher string, replicas *local.Replicas, limits autoscale.Limits) (*autoscaler.Autoscaler, error) {
	newPolicy, err := c.make(limits)
	if err != nil {
		return nil, err
	}
	a, err := autoscaler.New(autoscaler.Config{
		Dispatchers: []string{dispatcher}, Scaler: replicas, NewPolicy: newPolicy, Addr: c.AutoscalerAddr, Log: env.log,
	})
	if err != nil {
		return nil, err
	}
	if err := a.Listen(); err != nil {
		return nil, fmt.Errorf("%w (choose another with --autoscaler-addr)", err)
	}
	return a, nil
}

// inFlight is how many images each replica has.
func inFlight(d *dispatch.Dispatcher) map[string]int {
	images := make(map[string]int)
	for _, e := range d.Endpoints() {
		images[e.URL] = e.InFlight
	}
	return images
}

// weights finds the file for the replicas; empty when there is none, which the log then says.
func (c upCmd) weights(env *environment) (string, error) {
	path, err := model.Find(c.Model)
	if errors.Is(err, model.ErrNone) {
		env.log.Warn(noWeights)
		return "", nil
	}
	return path, err
}

const noWeights = "NO WEIGHTS: replicas run on random ones, and their answers mean nothing. " +
	"Fetch weights with: resnet18cloud model pull"

// share is how many CPUs one of so many replicas gets.
func share(replicas int) int { return max(1, runtime.GOMAXPROCS(0)/replicas) }

// shareWeights packs the weights for replicas to share; nil when there is but one, when the weights are random, or when
// the system cannot, so that each replica packs them for itself.
func shareWeights(path string, most int) (*os.File, error) {
	if path == "" || most == 1 {
		return nil, nil
	}
	set, err := weights.Load(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	shared, err := engine.Share(engine.Config{Weights: set})
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	return shared, err
}

// replicaCommand makes the command of a replica: this program, with the options that concern it. shared may be nil.
func (c upCmd) replicaCommand(env *environment, weights string, shared *os.File, most int) (func(name, addr string) procs.Process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program to run replicas with: %w", err)
	}
	args := append(env.logArgs(), "replica")
	if weights == "" {
		args = append(args, "--random-weights")
	} else {
		args = append(args, "--model", weights)
	}
	if c.Precision != "" {
		args = append(args, "--precision", c.Precision)
	}
	var files []*os.File
	if shared != nil {
		files, args = append(files, shared), append(args, "--shared-weights", "3") // the first that procs passes on
	}
	var environ []string // nil: ours
	if most > 1 {
		// Each works on as many images at a time as it has CPUs.
		environ = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(share(most)))
	}
	return func(name, addr string) procs.Process {
		p := procs.Process{
			Name: name, Path: program, Args: append(args[:len(args):len(args)], "--addr", addr), Env: environ, Files: files,
			Output: env.stderr, StopTimeout: upReplicaTimeout, Log: env.log,
		}
		if env.logFormat == "text" { // in JSON lines there is no place for it
			p.Prefix = name + ": "
		}
		return p
	}, nil
}

// imagesFS is the folder of pictures for the page; nil means drawings.
func (c upCmd) imagesFS() fs.FS {
	if c.Images != "" {
		return os.DirFS(c.Images)
	}
	if _, err := os.Stat(sampleImages); err == nil {
		return os.DirFS(sampleImages)
	}
	return nil
}

// greet says where to go.
func greet(w io.Writer, url, weights string, scaling *autoscaler.Autoscaler) {
	picture := "picture.jpg"
	if goldfinch, err := filepath.Glob(sampleImages + "/*goldfinch*"); err == nil && len(goldfinch) > 0 {
		picture = goldfinch[0]
	}
	lines := []string{
		"", "ResNet18Cloud serves at " + url, "",
		"  page    " + url + "/",
		"  try     curl -F image=@" + picture + " " + url + "/predict",
		"  watch   curl " + url + "/status",
		"  stop    Ctrl-C",
		"",
	}
	if scaling != nil && scaling.URL() != "" {
		lines = slices.Insert(lines, len(lines)-2, "  why     curl "+scaling.URL()+"/decisions")
	}
	if weights == "" {
		lines = append(lines, noWeights, "")
	}
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}
