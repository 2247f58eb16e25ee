package dispatch

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// Defaults that flags and manifests repeat.
const (
	DefaultAddr          = ":8080"
	DefaultQueueCapacity = 200
	DefaultCacheSize     = 1000
	DefaultQueueBytes    = 1 << 30
	DefaultResultsBytes  = 256 << 20
)

// Config says how a [Dispatcher] works. The zero value is usable: it listens on :8080, keeps queue and
// results in a temporary folder, and has no replicas until SetEndpoints.
type Config struct {
	// Addr is the TCP address to listen on. Empty means [DefaultAddr]; port 0 takes a free one.
	Addr string
	// Endpoints are the base URLs of replicas; dns+http://name:5000 stands for all addresses of the name.
	Endpoints []string
	// EndpointSlots is how many images to send at a time to a replica whose /info does not say, as the
	// prototype's. Zero means 4.
	EndpointSlots int
	// AttemptTimeout bounds one attempt at one replica. Zero means 30 s.
	AttemptTimeout time.Duration
	// Attempts is how often a request is taken from the queue for replicas to fail it (each time up to
	// three are tried) before it ends as failed. Zero means 5.
	Attempts int

	// NATS says where queue and results are kept. Its zero value starts a server in this process.
	NATS natsconn.Config
	// NATSReplicas is the number of NATS servers that keep each job and result. Zero means 1.
	NATSReplicas int
	// NATSPrefix is what streams and subjects are named after, so that two installations can share an
	// account. Empty means [natsconn.DefaultPrefix].
	NATSPrefix string
	// NATSUseExisting has the streams of an outside NATS be used as they are: they are neither made nor
	// changed, and their own limits apply.
	NATSUseExisting bool
	// SubmitTimeout is how long a submission waits while an outside NATS elects a leader or the server in
	// this process restarts. Zero means 20 s.
	SubmitTimeout time.Duration
	// RedeliverAfter is how long a dispatcher may be silent before the jobs it had taken go to another.
	// Zero means 10 s.
	RedeliverAfter time.Duration
	// QueueCapacity is how many requests may wait. Zero means [DefaultQueueCapacity].
	QueueCapacity int
	// QueueMaxBytes bounds the images in the queue, and what replicas have of it. Zero means 1 GiB. On a
	// small disk the queue of a NATS server in this process gets less.
	QueueMaxBytes int64
	// ResultTTL is how long results are kept. Zero means 1 h. A request that no replica took within half
	// of that time fails.
	ResultTTL time.Duration
	// ResultsMaxBytes bounds the results kept; the oldest go first. Zero means 256 MiB, some 200,000.
	ResultsMaxBytes int64
	// CacheSize is the number of results in the cache. Zero means [DefaultCacheSize], -1 none.
	CacheSize int

	// MaxImageBytes limits an upload. Zero means 10 MiB.
	MaxImageBytes int64
	// MaxUploadBytes bounds the memory of all images that arrive and are not yet in the queue. When it is used up, slow
	// uploads are refused and others wait for a moment. Zero means 256 MiB.
	MaxUploadBytes int64
	// MinUploadRate is the least number of bytes per second that a client sends. Zero means 16 KiB/s, -1 any.
	MinUploadRate int64
	// MaxWait bounds the wait of ?wait= and of POST /predict without a deadline. Zero means 60 s.
	MaxWait time.Duration
	// MaxBatch is how many images one POST /predict_batch may hold. Zero means 100.
	MaxBatch int
	// DrainTimeout bounds the time between the end of Run's context and its return, for answering and for
	// finishing what replicas have. Zero means 25 s.
	DrainTimeout time.Duration
	// DrainQueue has Run also finish what waits in the queue, within DrainTimeout. What is left then waits
	// on disk for the next start.
	DrainQueue bool

	// Page, when not nil, answers GET / and what lies below /page/.
	Page http.Handler
	// Classifier, when not nil, does the work in this process instead of replicas, ClassifierSlots images
	// at a time (zero means 1).
	Classifier      resnet18cloud.Classifier
	ClassifierSlots int
	// Queue and Store, when not nil, take the place of NATS. Give both or none.
	Queue queue.Queue
	Store store.Store

	// Log receives what happens. Nil discards it.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	setDefault(&c.Addr, DefaultAddr)
	setDefault(&c.Attempts, 5)
	setDefault(&c.NATSReplicas, 1)
	setDefault(&c.NATSPrefix, natsconn.DefaultPrefix)
	setDefault(&c.SubmitTimeout, 20*time.Second)
	setDefault(&c.RedeliverAfter, 10*time.Second)
	setDefault(&c.QueueCapacity, DefaultQueueCapacity)
	setDefault(&c.QueueMaxBytes, DefaultQueueBytes)
	setDefault(&c.ResultTTL, time.Hour)
	setDefault(&c.ResultsMaxBytes, DefaultResultsBytes)
	setDefault(&c.CacheSize, DefaultCacheSize)
	if c.CacheSize == -1 {
		c.CacheSize = 0
	}
	setDefault(&c.MaxImageBytes, httpx.MaxImageBytes)
	setDefault(&c.MaxWait, time.Minute)
	setDefault(&c.MaxBatch, 100)
	setDefault(&c.DrainTimeout, 25*time.Second)
	setDefault(&c.ClassifierSlots, 1)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.NATS.Log == nil {
		c.NATS.Log = c.Log
	}
	setDefault(&c.NATS.Name, "resnet18cloud dispatcher")
	// Room for the headers beside the largest image.
	setDefault(&c.NATS.MaxPayload, int(c.MaxImageBytes)+messageOverhead)
	return c
}

// messageOverhead has room for the headers of a job.
const messageOverhead = 64 << 10

// setDefault gives v a value where it has none.
func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func (c Config) validate() error {
	switch {
	case (c.Queue == nil) != (c.Store == nil):
		return fmt.Errorf("dispatch: give both Queue and Store, or none")
	case c.Classifier != nil && len(c.Endpoints) > 0:
		return fmt.Errorf("dispatch: give a Classifier or Endpoints, not both")
	case c.QueueCapacity < 1:
		return fmt.Errorf("dispatch: queue capacity %d, want at least 1", c.QueueCapacity)
	case c.CacheSize < 0:
		return fmt.Errorf("dispatch: cache size %d, want -1 (none) or more", c.CacheSize)
	case c.Attempts < 1 || c.MaxBatch < 1 || c.ClassifierSlots < 1 || c.MaxImageBytes < 1:
		return fmt.Errorf("dispatch: attempts, batch, slots and image limit must be positive")
	case c.QueueMaxBytes < c.MaxImageBytes+messageOverhead:
		return fmt.Errorf("dispatch: a queue of %d bytes cannot hold one image of %d: raise --queue-bytes, or lower --max-image-bytes",
			c.QueueMaxBytes, c.MaxImageBytes)
	case c.ResultsMaxBytes < 1<<20:
		return fmt.Errorf("dispatch: results of %d bytes, want at least 1 MiB", c.ResultsMaxBytes)
	case c.NATSReplicas != 1 && c.NATSReplicas != 3 && c.NATSReplicas != 5:
		return fmt.Errorf("dispatch: %d NATS replicas, want 1, 3 or 5", c.NATSReplicas)
	case c.NATSReplicas > 1 && c.NATS.URL == "":
		return fmt.Errorf("dispatch: %d NATS replicas need an outside NATS: give --nats", c.NATSReplicas)
	case c.NATS.CertFile == "" != (c.NATS.KeyFile == ""):
		return fmt.Errorf("dispatch: a TLS certificate needs its key, and a key its certificate")
	}
	if err := c.uploadLimits().Validate(); err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	return natsconn.CheckPrefix(c.NATSPrefix)
}

func (c Config) uploadLimits() httpx.UploadLimits {
	return httpx.UploadLimits{ImageBytes: c.MaxImageBytes, TotalBytes: c.MaxUploadBytes, Rate: c.MinUploadRate}
}
