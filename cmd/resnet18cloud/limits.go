//go:build !only_replica

package main

import (
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/engine"
)

// storeFlags limit what a dispatcher keeps.
type storeFlags struct {
	QueueCapacity int           `help:"Maximum number of queued requests; further ones are refused with 503." default:"200" env:"RESNET18_QUEUE_CAPACITY"`
	QueueBytes    int64         `help:"Maximum size of queued images in bytes. On a small disk the built-in NATS server uses less and logs it." default:"1073741824" env:"RESNET18_QUEUE_BYTES"`
	ResultTTL     time.Duration `help:"Time for which results are kept." default:"1h" env:"RESNET18_RESULT_TTL"`
	ResultsBytes  int64         `help:"Maximum size of stored results in bytes; the oldest are dropped first." default:"268435456" env:"RESNET18_RESULTS_BYTES"`
	CacheSize     int           `help:"Maximum number of cached results; off disables the cache." type:"off" default:"1000" env:"RESNET18_CACHE_SIZE"`
}

// clientFlags keep the clients of a dispatcher apart, and limit each.
type clientFlags struct {
	MaxWorkingBytes int64    `help:"Maximum memory of images that are at replicas or on their way there, in bytes." default:"268435456" env:"RESNET18_MAX_WORKING_BYTES"`
	TrustedProxies  []string `help:"Addresses and networks of proxies whose Forwarded and X-Forwarded-For headers name the client, separated by commas, and whose X-Forwarded-Prefix names the path below which clients see the server. Without it, all clients behind a proxy are one client." placeholder:"CIDR" env:"RESNET18_TRUSTED_PROXIES"`
	BasePath        string   `help:"Path below which clients see the server, such as /photos, for a proxy that does not remove it. Requests without it are served too." placeholder:"PATH" env:"RESNET18_BASE_PATH"`
	ClientRate      float64  `help:"Maximum number of images per second from one client; further ones are refused with 429. 0 means no limit." default:"0" env:"RESNET18_CLIENT_RATE"`
	ClientInFlight  int      `help:"Maximum number of unfinished requests of one client; further ones are refused with 429. 0 means no limit." default:"0" env:"RESNET18_CLIENT_IN_FLIGHT"`
}

// webhookFlags say where a dispatcher may send the outcomes of requests.
type webhookFlags struct {
	WebhookAllow []string `help:"Hosts that clients may name in X-Webhook and X-Batch-Webhook, separated by commas: hooks.example.com, *.example.com, HOST:PORT, addresses and networks; http://HOST allows plain HTTP too. Names lead only to public addresses and those in the list. Default: no webhooks." placeholder:"HOST" env:"RESNET18_WEBHOOK_ALLOW"`
}

// dispatcherConfig returns a configuration with the limits of the flags.
func dispatcherConfig(s storeFlags, u uploadFlags, c clientFlags) dispatch.Config {
	return dispatch.Config{
		Version: version, Revision: ownRevision(),
		QueueCapacity: s.QueueCapacity, QueueMaxBytes: s.QueueBytes, ResultTTL: s.ResultTTL, ResultsMaxBytes: s.ResultsBytes,
		CacheSize: s.CacheSize, MaxImageBytes: u.MaxImageBytes, MaxUploadBytes: u.MaxUploadBytes, MinUploadRate: u.MinUploadRate,
		Large:           engine.Large,
		MaxWorkingBytes: c.MaxWorkingBytes, TrustedProxies: c.TrustedProxies, BasePath: strings.TrimSuffix(c.BasePath, "/"), ClientRate: c.ClientRate, ClientInFlight: c.ClientInFlight,
	}
}
