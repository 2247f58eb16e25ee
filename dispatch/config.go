package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/webhook"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// Defaults that flags and manifests share.
const (
	DefaultAddr          = ":8080"
	DefaultQueueCapacity = 200
	DefaultCacheSize     = 1000
	DefaultQueueBytes    = 1 << 30
	DefaultResultsBytes  = 256 << 20
	DefaultWorkingBytes  = 256 << 20
)

// Config configures a [Dispatcher]. The zero value is usable: it listens on :8080, keeps queue and results in a
// temporary folder, and has no replicas until SetEndpoints is called.
type Config struct {
	// Version is the program's, for clients of the Open Inference Protocol. Empty means "dev".
	Version string
	// Revision is the commit that the program was built from, for metrics.
	Revision string
	// Addr is the TCP address to listen on. Empty means [DefaultAddr]; port 0 picks a free port.
	Addr string
	// TLS are the files of the server's certificate and, if clients must have one, of the authorities that sign
	// theirs. Zero means HTTP.
	TLS tlsfiles.Files
	// AdminAddr is the TCP address of a second server, without TLS, for operators: metrics, profiles, and what changes
	// or shows the cache. The first one then does not offer these. Both have the health endpoints. Empty means none.
	AdminAddr string
	// Guard says which hosts and origins of web pages requests may have.
	Guard httpx.Guard
	// ReplicaTLS are files for replicas with https: the authorities to trust, and the certificate to show them. Zero
	// means the authorities of the system.
	ReplicaTLS tlsfiles.Files
	// Endpoints are the base URLs of replicas; dns+http://name:5000 stands for all addresses of the name.
	Endpoints []string
	// EndpointSlots is how many images to send at a time to a replica whose /info does not report it, such as the
	// prototype's. Zero means 4.
	EndpointSlots int
	// AttemptTimeout bounds one attempt at one replica. Zero means 30 s.
	AttemptTimeout time.Duration
	// Attempts is how often a request is taken from the queue and fails at replicas (up to three are tried each time)
	// before it ends as failed. Zero means 5.
	Attempts int

	// NATS configures where queue and results are stored. The zero value starts a server in this process.
	NATS natsconn.Config
	// NATSReplicas is the number of NATS servers that store each job and result. Zero means 1.
	NATSReplicas int
	// NATSPrefix is the prefix of stream and subject names, so that two installations can share an account. Empty
	// means [natsconn.DefaultPrefix].
	NATSPrefix string
	// NATSUseExisting uses the streams of an external NATS as they are: they are neither created nor changed, and
	// their own limits apply.
	NATSUseExisting bool
	// SubmitTimeout is how long a submission waits while an external NATS elects a leader or the embedded server
	// restarts. Zero means 20 s.
	SubmitTimeout time.Duration
	// RedeliverAfter is the time without a heartbeat from a dispatcher before its jobs are delivered to another. Zero
	// means 10 s.
	RedeliverAfter time.Duration
	// QueueCapacity is the maximum number of waiting requests. Zero means [DefaultQueueCapacity].
	QueueCapacity int
	// QueueMaxBytes limits the total size of images that wait or are being processed. Zero means 1 GiB. On a small
	// disk an embedded NATS server uses less.
	QueueMaxBytes int64
	// ResultTTL is how long results are kept. Zero means 1 h. A request that no replica accepted within half of that
	// time fails.
	ResultTTL time.Duration
	// ResultsMaxBytes limits the size of all results; the oldest are dropped first. Zero means 256 MiB, about 200,000
	// results.
	ResultsMaxBytes int64
	// CacheSize is the number of results in the cache. Zero means [DefaultCacheSize]; -1 disables the cache.
	CacheSize int

	// MaxImageBytes limits the size of an upload. Zero means 10 MiB.
	MaxImageBytes int64
	// MaxUploadBytes limits the memory of all images that are being received and are not yet in the queue. When it is
	// used up, slow uploads are rejected and others wait briefly. Zero means 256 MiB.
	MaxUploadBytes int64
	// MaxWorkingBytes limits the memory of images that this dispatcher has taken from the queue and sends to replicas.
	// While there is no room for another image of the maximum size, it takes none. Zero means 256 MiB.
	MaxWorkingBytes int64
	// MinUploadRate is the minimum upload rate in bytes per second. Zero means 16 KiB/s; -1 disables the limit.
	MinUploadRate int64
	// TrustedProxies are the addresses and networks (in CIDR notation) of proxies whose Forwarded and X-Forwarded-For
	// headers name the client, and whose X-Forwarded-Prefix names the path below which clients see the server. Empty
	// means that the address that connects is the client's.
	TrustedProxies []string
	// ClientRate limits the images that one client may send per second. Zero means no limit.
	ClientRate float64
	// ClientInFlight limits the unfinished requests of one client. Zero means no limit. If several dispatchers share a
	// queue, each applies both limits to what it has accepted.
	ClientInFlight int
	// MaxWait limits ?wait= and POST /predict without a deadline. Zero means 60 s.
	MaxWait time.Duration
	// MaxBatch is the maximum number of images in one POST /predict_batch. Zero means 100.
	MaxBatch int
	// DrainTimeout limits the time between the end of Run's context and its return, for open requests and for images
	// that replicas are processing. Zero means 25 s.
	DrainTimeout time.Duration
	// DrainQueue makes Run also process the waiting requests, within DrainTimeout. The rest stays on disk for the
	// next start.
	DrainQueue bool

	// WebhookAllow are the hosts, addresses and networks that webhooks may go to: see [webhook.ParseAllow]. Empty means that
	// there are no webhooks.
	WebhookAllow []string
	// Access, if not nil, admits clients by their keys. Results, lists and idempotency keys then belong to the client
	// that sent the image. Nil means that every client may do everything. The caller runs it.
	Access *access.Guard
	// ReplicaToken, if not nil, returns the token to send to replicas.
	ReplicaToken func() string
	// Scaling, if not nil, returns the summary of the autoscaler, which is shown on the dashboard to operators. It is called
	// every five seconds, and its context ends before the next call.
	Scaling func(context.Context) (json.RawMessage, error)
	// BasePath is the path below which clients see the server, such as "/photos"; requests without it are served too.
	// Empty means none.
	BasePath string
	// Page, if not nil, handles GET /, GET /dashboard and everything below /page/.
	Page http.Handler
	// Large reports whether an image takes replicas long. Such images have at most half of the slots, so that others do
	// not wait for them: replicas decode them beside their workers. It must be fast. Nil means that no image is large.
	Large func(image resnet18cloud.Image) bool
	// Replicas, if not nil, starts and stops the replicas: clients with scope admin then change their number with
	// PUT /replicas.
	Replicas Replicas
	// Classifier, if not nil, classifies images in this process instead of on replicas, ClassifierSlots images at a
	// time (zero means 1).
	Classifier      resnet18cloud.Classifier
	ClassifierSlots int
	// Queue and Store, if not nil, replace NATS. Set both or neither.
	Queue queue.Queue
	Store store.Store

	// Tracer records the work on requests as spans. Nil records none.
	Tracer *tracing.Tracer
	// Log receives log messages. Nil discards them.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Addr = cmp.Or(c.Addr, DefaultAddr)
	c.Attempts = cmp.Or(c.Attempts, 5)
	c.NATSReplicas = cmp.Or(c.NATSReplicas, 1)
	c.NATSPrefix = cmp.Or(c.NATSPrefix, natsconn.DefaultPrefix)
	c.SubmitTimeout = cmp.Or(c.SubmitTimeout, 20*time.Second)
	c.RedeliverAfter = cmp.Or(c.RedeliverAfter, 10*time.Second)
	c.QueueCapacity = cmp.Or(c.QueueCapacity, DefaultQueueCapacity)
	c.QueueMaxBytes = cmp.Or(c.QueueMaxBytes, DefaultQueueBytes)
	c.ResultTTL = cmp.Or(c.ResultTTL, time.Hour)
	c.ResultsMaxBytes = cmp.Or(c.ResultsMaxBytes, DefaultResultsBytes)
	c.CacheSize = cmp.Or(c.CacheSize, DefaultCacheSize)
	if c.CacheSize == -1 {
		c.CacheSize = 0
	}
	c.MaxImageBytes = cmp.Or(c.MaxImageBytes, httpx.MaxImageBytes)
	c.MaxWorkingBytes = cmp.Or(c.MaxWorkingBytes, DefaultWorkingBytes)
	c.MaxWait = cmp.Or(c.MaxWait, time.Minute)
	c.MaxBatch = cmp.Or(c.MaxBatch, 100)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 25*time.Second)
	if c.Large == nil {
		c.Large = func(resnet18cloud.Image) bool { return false }
	}
	c.ClassifierSlots = cmp.Or(c.ClassifierSlots, 1)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	c.NATS.Log = cmp.Or(c.NATS.Log, c.Log)
	c.NATS.Name = cmp.Or(c.NATS.Name, "resnet18cloud dispatcher")
	// Leave room for the headers of the largest image.
	c.NATS.MaxPayload = cmp.Or(c.NATS.MaxPayload, int(c.MaxImageBytes)+messageOverhead)
	return c
}

// sharesQueue reports whether other dispatchers may use the same queue.
func (c Config) sharesQueue() bool { return c.Queue == nil && c.NATS.URL != "" }

// shutdownDelay is the time in which clients may leave for other dispatchers before connections are closed.
func (c Config) shutdownDelay() time.Duration {
	if !c.sharesQueue() {
		return 0
	}
	return min(time.Second, c.DrainTimeout/4)
}

// messageOverhead is the space reserved for the headers of a job.
const messageOverhead = 64 << 10

func (c Config) validate() error {
	switch {
	case (c.Queue == nil) != (c.Store == nil):
		return fmt.Errorf("dispatch: set both Queue and Store, or neither")
	case c.Classifier != nil && len(c.Endpoints) > 0:
		return fmt.Errorf("dispatch: set a Classifier or Endpoints, not both")
	case c.QueueCapacity < 1:
		return fmt.Errorf("dispatch: queue capacity %d, want at least 1", c.QueueCapacity)
	case c.CacheSize < 0:
		return fmt.Errorf("dispatch: cache size %d, want -1 (no cache) or more", c.CacheSize)
	case c.Attempts < 1 || c.MaxBatch < 1 || c.ClassifierSlots < 1 || c.MaxImageBytes < 1:
		return fmt.Errorf("dispatch: attempts, batch size, slots and image size must be positive")
	case min(c.AttemptTimeout, c.SubmitTimeout, c.RedeliverAfter, c.ResultTTL, c.DrainTimeout) < 0:
		return fmt.Errorf("dispatch: the timeouts and the time for which results are kept must not be negative")
	case c.QueueMaxBytes < c.MaxImageBytes+messageOverhead:
		return fmt.Errorf("dispatch: a queue of %d bytes cannot hold an image of %d bytes: raise --queue-bytes, or lower --max-image-bytes",
			c.QueueMaxBytes, c.MaxImageBytes)
	case c.MaxWorkingBytes < c.MaxImageBytes:
		return fmt.Errorf("dispatch: working memory of %d bytes cannot hold an image of %d bytes: raise --max-working-bytes, or lower --max-image-bytes",
			c.MaxWorkingBytes, c.MaxImageBytes)
	case c.ClientRate < 0 || math.IsNaN(c.ClientRate) || c.ClientInFlight < 0:
		return fmt.Errorf("dispatch: client rate %g and requests in flight %d, want 0 (no limit) or more", c.ClientRate, c.ClientInFlight)
	case c.ResultsMaxBytes < 1<<20:
		return fmt.Errorf("dispatch: results size %d bytes, want at least 1 MiB", c.ResultsMaxBytes)
	case c.NATSReplicas != 1 && c.NATSReplicas != 3 && c.NATSReplicas != 5:
		return fmt.Errorf("dispatch: %d NATS replicas, want 1, 3 or 5", c.NATSReplicas)
	case c.NATSReplicas > 1 && c.NATS.URL == "":
		return fmt.Errorf("dispatch: %d NATS replicas require an external NATS server: set --nats", c.NATSReplicas)
	case c.NATS.CertFile == "" != (c.NATS.KeyFile == ""):
		return fmt.Errorf("dispatch: set both a TLS certificate and its key, or neither")
	}
	if _, err := webhook.ParseAllow(c.WebhookAllow); err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	if clean, err := httpx.ParsePrefix(c.BasePath); err != nil || clean != c.BasePath {
		return fmt.Errorf("dispatch: base path %q: want a path without a slash at its end, such as /photos", c.BasePath)
	}
	for _, err := range []error{c.uploadLimits().Validate(), c.TLS.ValidateServer(), c.Guard.Validate()} {
		if err != nil {
			return fmt.Errorf("dispatch: %w", err)
		}
	}
	return natsconn.CheckPrefix(c.NATSPrefix)
}

func (c Config) uploadLimits() httpx.UploadLimits {
	return httpx.UploadLimits{ImageBytes: c.MaxImageBytes, TotalBytes: c.MaxUploadBytes, Rate: c.MinUploadRate}
}
