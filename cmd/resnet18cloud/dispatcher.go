package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/web"
)

type dispatcherCmd struct {
	Addr          string        `help:"TCP address to listen on." default:":8080" env:"RESNET18_DISPATCHER_ADDR"`
	Endpoints     []string      `help:"Base URLs of replicas, separated by commas; dns+http://name:5000 stands for all addresses of the name." default:"http://127.0.0.1:5000" env:"RESNET18_ENDPOINTS"`
	EndpointSlots int           `help:"Images to send at a time to a replica whose /info does not say." default:"4" env:"RESNET18_ENDPOINT_SLOTS"`
	QueueCapacity int           `help:"Requests that may wait; further ones are refused with 503." default:"200" env:"RESNET18_QUEUE_CAPACITY"`
	QueueBytes    int64         `help:"Maximum bytes of the images in the queue; on a small disk the built-in NATS server gets less and says so." default:"1073741824" env:"RESNET18_QUEUE_BYTES"`
	CacheSize     int           `help:"Results in the cache; -1 turns it off." default:"1000" env:"RESNET18_CACHE_SIZE"`
	ResultTTL     time.Duration `help:"How long results are kept." default:"1h" env:"RESNET18_RESULT_TTL"`
	ResultsBytes  int64         `help:"Maximum bytes of the results kept; the oldest are dropped first." default:"268435456" env:"RESNET18_RESULTS_BYTES"`
	MaxImageBytes int64         `help:"Largest upload in bytes." default:"10485760" env:"RESNET18_MAX_IMAGE_BYTES"`

	MaxUploadBytes int64 `help:"Memory in bytes of all uploads together. When it is used up, slow uploads are refused." default:"268435456" env:"RESNET18_MAX_UPLOAD_BYTES"`
	MinUploadRate  int64 `help:"Least rate of an upload in bytes per second; slower ones are refused with 408. -1 means any." default:"16384" env:"RESNET18_MIN_UPLOAD_RATE"`

	AttemptTimeout time.Duration `help:"Longest time for one attempt at one replica." default:"30s" env:"RESNET18_ATTEMPT_TIMEOUT"`
	Attempts       int           `help:"How often a request is tried before it fails." default:"5" env:"RESNET18_ATTEMPTS"`
	RedeliverAfter time.Duration `help:"Time without a heartbeat before another dispatcher takes over a request." default:"10s" env:"RESNET18_REDELIVER_AFTER"`
	SubmitTimeout  time.Duration `help:"Maximum time a submission waits for storage that is briefly unavailable, such as during a leader election." default:"20s" env:"RESNET18_SUBMIT_TIMEOUT"`
	DrainTimeout   time.Duration `help:"Longest time from SIGTERM to the end." default:"25s" env:"RESNET18_DRAIN_TIMEOUT"`

	DataDir         string `help:"Folder for queue and results of the built-in NATS server; by default resnet18cloud/queue in your cache folder." type:"path" placeholder:"DIR" env:"RESNET18_DATA_DIR"`
	Sync            string `help:"When the built-in NATS server writes through to disk: interval (every second; survives the death of any process) or always (before each 202; also survives loss of power)." enum:"interval,always" default:"interval" env:"RESNET18_SYNC"`
	NATS            string `name:"nats" help:"URLs of an outside NATS with JetStream, separated by commas, instead of the built-in one; dispatchers that share it share queue and results." placeholder:"URL" env:"RESNET18_NATS"`
	NATSReplicas    int    `name:"nats-replicas" help:"NATS servers that keep each image and result: 1, 3 or 5." default:"1" env:"RESNET18_NATS_REPLICAS"`
	NATSPrefix      string `name:"nats-prefix" help:"Name that streams and subjects start with; give each installation on a NATS account its own." default:"resnet18" env:"RESNET18_NATS_PREFIX"`
	NATSUseExisting bool   `name:"nats-use-existing" help:"Use the streams of the outside NATS as they are; never create or change them." env:"RESNET18_NATS_USE_EXISTING"`
	NATSCreds       string `name:"nats-creds" help:"File of NATS user credentials." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CREDS"`
	NATSCA          string `name:"nats-ca" help:"PEM file of the certificate authority to trust." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CA"`
	NATSCert        string `name:"nats-cert" help:"PEM file of our certificate." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CERT"`
	NATSKey         string `name:"nats-key" help:"PEM file of our certificate's key." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_KEY"`
}

// Run serves until the first signal, then drains.
func (c dispatcherCmd) Run(ctx context.Context, env *environment) error {
	if c.DataDir == "" && c.NATS == "" {
		c.DataDir = defaultDataDir()
	}
	page, err := web.Handler(nil)
	if err != nil {
		return err
	}
	d, err := dispatch.New(dispatch.Config{
		Addr: c.Addr, Endpoints: c.Endpoints, EndpointSlots: c.EndpointSlots,
		QueueCapacity: c.QueueCapacity, CacheSize: c.CacheSize, ResultTTL: c.ResultTTL,
		MaxImageBytes: c.MaxImageBytes, MaxUploadBytes: c.MaxUploadBytes, MinUploadRate: c.MinUploadRate,
		AttemptTimeout: c.AttemptTimeout, Attempts: c.Attempts, RedeliverAfter: c.RedeliverAfter, DrainTimeout: c.DrainTimeout,
		QueueMaxBytes: c.QueueBytes, ResultsMaxBytes: c.ResultsBytes, SubmitTimeout: c.SubmitTimeout,
		NATSReplicas: c.NATSReplicas, NATSPrefix: c.NATSPrefix, NATSUseExisting: c.NATSUseExisting,
		NATS: natsconn.Config{
			URL: c.NATS, DataDir: c.DataDir, SyncAlways: c.Sync == "always",
			Creds: c.NATSCreds, CAFile: c.NATSCA, CertFile: c.NATSCert, KeyFile: c.NATSKey,
		},
		Page: page, Log: env.log,
	})
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// defaultDataDir is in the user's cache folder. Empty, a temporary folder, where there is no such user.
func defaultDataDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "resnet18cloud", "queue")
}
