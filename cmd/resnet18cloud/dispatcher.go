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
	Endpoints     []string      `help:"Base URLs of replicas, separated by commas. dns+http://name:5000 means every address of the name." default:"http://127.0.0.1:5000" env:"RESNET18_ENDPOINTS"`
	EndpointSlots int           `help:"Number of images to send at a time to a replica whose /info does not name one." default:"4" env:"RESNET18_ENDPOINT_SLOTS"`
	QueueCapacity int           `help:"Maximum number of queued requests; further ones are refused with 503." default:"200" env:"RESNET18_QUEUE_CAPACITY"`
	QueueBytes    int64         `help:"Maximum size of queued images in bytes. On a small disk the built-in NATS server uses less and logs it." default:"1073741824" env:"RESNET18_QUEUE_BYTES"`
	CacheSize     int           `help:"Maximum number of cached results; -1 disables the cache." default:"1000" env:"RESNET18_CACHE_SIZE"`
	ResultTTL     time.Duration `help:"Time for which results are kept." default:"1h" env:"RESNET18_RESULT_TTL"`
	ResultsBytes  int64         `help:"Maximum size of stored results in bytes; the oldest are dropped first." default:"268435456" env:"RESNET18_RESULTS_BYTES"`
	MaxImageBytes int64         `help:"Maximum size of an upload in bytes." default:"10485760" env:"RESNET18_MAX_IMAGE_BYTES"`

	MaxUploadBytes int64 `help:"Maximum memory of all uploads together, in bytes. When it is used up, slow uploads are refused." default:"268435456" env:"RESNET18_MAX_UPLOAD_BYTES"`
	MinUploadRate  int64 `help:"Minimum rate of an upload in bytes per second; slower ones are refused with 408. -1 disables the limit." default:"16384" env:"RESNET18_MIN_UPLOAD_RATE"`

	AttemptTimeout time.Duration `help:"Maximum time of one attempt at one replica." default:"30s" env:"RESNET18_ATTEMPT_TIMEOUT"`
	Attempts       int           `help:"Maximum number of attempts before a request fails." default:"5" env:"RESNET18_ATTEMPTS"`
	RedeliverAfter time.Duration `help:"Time without a heartbeat before another dispatcher takes over." default:"10s" env:"RESNET18_REDELIVER_AFTER"`
	SubmitTimeout  time.Duration `help:"Maximum time that a submission waits while storage is unavailable, such as during a leader election." default:"20s" env:"RESNET18_SUBMIT_TIMEOUT"`
	DrainTimeout   time.Duration `help:"Maximum time from SIGTERM to exit." default:"25s" env:"RESNET18_DRAIN_TIMEOUT"`

	DataDir         string `help:"Folder for queue and results of the built-in NATS server. Default: resnet18cloud/queue in the user's cache folder." type:"path" placeholder:"DIR" env:"RESNET18_DATA_DIR"`
	Sync            string `help:"When the built-in NATS server syncs to disk: interval (every second; survives the crash of any process) or always (before each 202; also survives a power failure)." enum:"interval,always" default:"interval" env:"RESNET18_SYNC"`
	NATS            string `name:"nats" help:"URLs of an external NATS cluster with JetStream, separated by commas, instead of the built-in server. Dispatchers with the same cluster share queue and results." placeholder:"URL" env:"RESNET18_NATS"`
	NATSReplicas    int    `name:"nats-replicas" help:"Number of NATS servers that store each image and result: 1, 3 or 5." default:"1" env:"RESNET18_NATS_REPLICAS"`
	NATSPrefix      string `name:"nats-prefix" help:"Prefix of streams and subjects; must be unique for each installation on a NATS account." default:"resnet18" env:"RESNET18_NATS_PREFIX"`
	NATSUseExisting bool   `name:"nats-use-existing" help:"Use existing streams of the external NATS; never create or change them." env:"RESNET18_NATS_USE_EXISTING"`
	NATSCreds       string `name:"nats-creds" help:"NATS credentials file." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CREDS"`
	NATSCA          string `name:"nats-ca" help:"PEM file of the trusted certificate authority." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CA"`
	NATSCert        string `name:"nats-cert" help:"PEM file of the client certificate." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CERT"`
	NATSKey         string `name:"nats-key" help:"PEM file of the client certificate's key." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_KEY"`
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

// defaultDataDir is in the user's cache folder. It is empty, which means a temporary folder, if there is none.
func defaultDataDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "resnet18cloud", "queue")
}
