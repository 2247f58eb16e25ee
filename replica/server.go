package replica

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Server is one replica. Create it with [New], then call Listen and Run once.
type Server struct {
	cfg        Config
	classifier resnet18cloud.Classifier
	admission  *admission
	large      *admission // of images that Config.Large reports
	uploads    *httpx.Uploads
	metrics    *replicaMetrics
	http       httpx.Server
	admin      *httpx.Server // nil if there is none
	ready      chan struct{}
}

// New creates a server for the classifier, which must be able to process cfg.Concurrency images at a time. It starts
// nothing.
func New(cfg Config, classifier resnet18cloud.Classifier) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg:        cfg,
		classifier: classifier,
		admission:  newAdmission(cfg.Concurrency, cfg.Queue),
		large:      newAdmission(cfg.Concurrency, cfg.Queue),
		uploads:    httpx.NewUploads(cfg.uploadLimits()),
		ready:      make(chan struct{}),
	}
	s.large.service = time.Second // no image of the warm-up is large
	s.metrics = newMetrics(s.admission, s.large, s.uploads, s)
	public, admin := s.routes()
	s.http = httpx.Server{Addr: cfg.Addr, Handler: s.metrics.http.Handler(cfg.Guard.Handler(cfg.Log, public)), TLS: cfg.TLS, Tracer: cfg.Tracer, Log: cfg.Log}
	if cfg.AdminAddr != "" {
		s.admin = &httpx.Server{Addr: cfg.AdminAddr, Handler: s.metrics.http.Handler(httpx.Guard{Hosts: cfg.Guard.Hosts}.Handler(cfg.Log, admin)), Log: cfg.Log,
			ShutdownTimeout: time.Second, MaxConnections: httpx.AdminConnections}
	}
	return s, nil
}

// Listen reads the certificate and binds the addresses; it fails immediately if another process uses one.
func (s *Server) Listen() error {
	if s.admin != nil {
		if err := s.admin.Listen(); err != nil {
			return fmt.Errorf("admin address: %w", err)
		}
	}
	return s.http.Listen()
}

// URL returns the server's URL on this machine. It is valid after Listen.
func (s *Server) URL() string { return s.http.URL() }

// AdminURL returns the URL of the server for operators on this machine; empty if there is none. It is valid after
// Listen.
func (s *Server) AdminURL() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.URL()
}

// Ready is closed when every worker has classified a warm-up image and /health/ready reports ready.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends; then it stops listening, finishes the admitted requests, and returns. If the classifier
// fails on the warm-up image, Run returns the error.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.http.Run(ctx) })
	if s.admin != nil {
		g.Go(func() error { return s.admin.Run(ctx) })
	}
	g.Go(func() error {
		if err := s.warmUp(ctx); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // stopped before it was ready
			}
			return fmt.Errorf("classify the warm-up image: %w", err)
		}
		close(s.ready)
		s.metrics.Ready()
		m := s.cfg.Model()
		s.cfg.Log.InfoContext(ctx, "replica ready", "url", s.URL(), "weights", m.Weights, "precision", m.Precision,
			"kernels", m.Kernels, "concurrency", s.cfg.Concurrency, "queue", s.cfg.Queue)
		return nil
	})
	return g.Wait()
}

// warmUp makes every worker classify one image, so that the first request does not pay for first memory accesses, and
// a broken classifier is detected before a client sends an image.
func (s *Server) warmUp(ctx context.Context) error {
	data, err := warmUpImage()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for range s.cfg.Concurrency {
		g.Go(func() error {
			return (&visit{admission: s.admission}).work(ctx, func() error {
				_, err := s.classifier.Classify(ctx, resnet18cloud.Image{Name: "warm-up.jpg", Bytes: data,
					Want: resnet18cloud.Want{Embedding: true}}) // which every model has
				return err
			})
		})
	}
	return g.Wait()
}

// warmUpImage returns a JPEG of two gradients, of a size typical for ImageNet.
func warmUpImage() ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, 500, 375))
	for y := range 375 {
		for x := range 500 {
			img.SetRGBA(x, y, color.RGBA{R: uint8(x / 2), G: uint8(y / 2), B: 128, A: 255})
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		return nil, fmt.Errorf("encode the warm-up image: %w", err)
	}
	return buf.Bytes(), nil
}
