//go:build !only_replica

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
	Addr             string   `help:"TCP address to listen on." type:"listen" default:":8080" placeholder:"ADDR" env:"RESNET18_DISPATCHER_ADDR"`
	Endpoints        []string `help:"Base URLs of replicas, separated by commas. dns+http://name:5000 means every address of the name." type:"url" placeholder:"URL,..." default:"http://127.0.0.1:5000" env:"RESNET18_ENDPOINTS" group:"replicas"`
	EndpointSlots    int      `help:"Number of images to send at a time to a replica whose /info does not name one." default:"4" env:"RESNET18_ENDPOINT_SLOTS" group:"replicas"`
	ReplicaCA        string   `name:"replica-ca" help:"PEM file of the certificate authorities that replicas with https:// are trusted by. Default: those of the system. It and the next two are read again when they change." type:"existingfile" placeholder:"FILE" env:"RESNET18_REPLICA_CA" group:"replicas"`
	ReplicaCert      string   `name:"replica-cert" help:"PEM file of the certificate to show to replicas with --tls-client-ca." type:"existingfile" placeholder:"FILE" env:"RESNET18_REPLICA_CERT" group:"replicas"`
	ReplicaKey       string   `name:"replica-key" help:"PEM file of that certificate's private key." type:"existingfile" placeholder:"FILE" env:"RESNET18_REPLICA_KEY" group:"replicas"`
	serverFlags      `group:"security"`
	storeFlags       `group:"storage"`
	uploadFlags      `group:"limits"`
	clientFlags      `group:"limits"`
	accessFlags      `group:"security"`
	webhookFlags     `group:"security"`
	traceFlags       `group:"traces"`
	ReplicaTokenFile string `help:"File with the token to send to replicas, which need it if they run with --keys. It is read again when it changes." type:"path" placeholder:"FILE" env:"RESNET18_REPLICA_TOKEN_FILE" group:"replicas"`

	Autoscaler          string `help:"Base URL of the autoscaler whose decisions the dashboard shows; with its --admin-addr, that address." type:"url" placeholder:"URL" env:"RESNET18_AUTOSCALER_URL" group:"scaling"`
	AutoscalerTokenFile string `help:"File with the token to send to the autoscaler, which needs it if it runs with --keys. Its key needs scope admin. It is read at each request." type:"path" placeholder:"FILE" env:"RESNET18_AUTOSCALER_READ_TOKEN_FILE" group:"scaling"`
	AutoscalerCA        string `name:"autoscaler-ca" help:"PEM file of the certificate authorities that an autoscaler with https:// is trusted by. Default: those of the system." type:"existingfile" placeholder:"FILE" env:"RESNET18_AUTOSCALER_CA" group:"scaling"`

	AttemptTimeout time.Duration `help:"Maximum time of one attempt at one replica." default:"30s" env:"RESNET18_ATTEMPT_TIMEOUT" group:"replicas"`
	Attempts       int           `help:"Maximum number of attempts before a request fails." default:"5" env:"RESNET18_ATTEMPTS" group:"replicas"`
	RedeliverAfter time.Duration `help:"Time without a heartbeat before another dispatcher takes over." default:"10s" env:"RESNET18_REDELIVER_AFTER" group:"storage"`
	SubmitTimeout  time.Duration `help:"Maximum time that a submission waits while storage is unavailable, such as during a leader election." default:"20s" env:"RESNET18_SUBMIT_TIMEOUT" group:"storage"`
	DrainTimeout   time.Duration `help:"Maximum time from SIGTERM to exit." default:"25s" env:"RESNET18_DRAIN_TIMEOUT"`

	DataDir         string `help:"Folder for queue and results of the built-in NATS server. Default: resnet18cloud/queue in the user's cache folder." type:"path" placeholder:"DIR" env:"RESNET18_DATA_DIR" group:"storage"`
	Sync            string `help:"When the built-in NATS server syncs to disk: interval (every second; survives the crash of any process) or always (before each 202; also survives a power failure)." enum:"interval,always" default:"interval" env:"RESNET18_SYNC" group:"storage"`
	NATS            string `name:"nats" help:"URLs of an external NATS cluster with JetStream, separated by commas, instead of the built-in server. Dispatchers with the same cluster share queue and results." type:"nats" placeholder:"URL" env:"RESNET18_NATS" group:"nats"`
	NATSReplicas    int    `name:"nats-replicas" help:"Number of NATS servers that store each image and result: 1, 3 or 5." default:"1" env:"RESNET18_NATS_REPLICAS" group:"nats"`
	NATSPrefix      string `name:"nats-prefix" help:"Prefix of streams and subjects; must be unique for each installation on a NATS account." placeholder:"PREFIX" default:"resnet18" env:"RESNET18_NATS_PREFIX" group:"nats"`
	NATSUseExisting bool   `name:"nats-use-existing" help:"Use existing streams of the external NATS; never create or change them." env:"RESNET18_NATS_USE_EXISTING" group:"nats"`
	NATSCreds       string `name:"nats-creds" help:"NATS credentials file." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CREDS" group:"nats"`
	NATSCA          string `name:"nats-ca" help:"PEM file of the trusted certificate authority." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CA" group:"nats"`
	NATSCert        string `name:"nats-cert" help:"PEM file of the client certificate." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_CERT" group:"nats"`
	NATSKey         string `name:"nats-key" help:"PEM file of the client certificate's key." type:"existingfile" placeholder:"FILE" env:"RESNET18_NATS_KEY" group:"nats"`
}

// Help adds to kong's text what an option cannot say.
func (dispatcherCmd) Help() string {
	return `Without --nats, queue and results are in --data-dir, in a NATS server that is part of this process.

  resnet18cloud dispatcher --endpoints 127.0.0.1:5000,127.0.0.1:5001
  resnet18cloud dispatcher --nats nats://127.0.0.1:4222 --addr :8081`
}

// Run serves until the first signal, then drains.
func (c dispatcherCmd) Run(ctx context.Context, env *environment) error {
	if c.DataDir == "" && c.NATS == "" {
		c.DataDir = defaultDataDir()
	}
	page, err := web.Handler(web.Config{MaxImageBytes: c.MaxImageBytes})
	if err != nil {
		return err
	}
	if err := badUsage(c.check()); err != nil {
		return err
	}
	cfg := dispatcherConfig(c.storeFlags, c.uploadFlags, c.clientFlags)
	if cfg.ReplicaTLS, err = clientTLS("replica", c.ReplicaCA, c.ReplicaCert, c.ReplicaKey); err != nil {
		return badUsage(err)
	}
	cfg.TLS, cfg.AdminAddr, cfg.Guard = c.files(), c.AdminAddr, c.webGuard()
	cfg.Addr, cfg.Endpoints, cfg.EndpointSlots = c.Addr, c.Endpoints, c.EndpointSlots
	cfg.AttemptTimeout, cfg.Attempts, cfg.RedeliverAfter = c.AttemptTimeout, c.Attempts, c.RedeliverAfter
	cfg.SubmitTimeout, cfg.DrainTimeout = c.SubmitTimeout, c.DrainTimeout
	cfg.NATSReplicas, cfg.NATSPrefix, cfg.NATSUseExisting = c.NATSReplicas, c.NATSPrefix, c.NATSUseExisting
	cfg.NATS = natsconn.Config{
		URL: c.NATS, DataDir: c.DataDir, SyncAlways: c.Sync == "always",
		Creds: c.NATSCreds, CAFile: c.NATSCA, CertFile: c.NATSCert, KeyFile: c.NATSKey,
	}
	cfg.Page, cfg.Log, cfg.WebhookAllow = page, env.log, c.WebhookAllow
	guard, err := c.guard(env.log)
	if err != nil {
		return err
	}
	token, err := openToken("--replica-token-file", c.ReplicaTokenFile, env.log)
	if err != nil {
		return err
	}
	cfg.Access, cfg.ReplicaToken = guard, token.Token
	if c.Autoscaler != "" {
		asking := callerFlags{TokenFile: c.AutoscalerTokenFile, CA: c.AutoscalerCA}
		if cfg.Scaling, err = summaryOf(c.Autoscaler, asking); err != nil {
			return err
		}
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
		return err
	}
	c.warnIfOpen(env.log, c.Addr, guard != nil)
	return runFollowing(ctx, guard, token, d.Run)
}

// defaultDataDir is in the user's cache folder. It is empty, which means a temporary folder, if there is none.
func defaultDataDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "resnet18cloud", "queue")
}
