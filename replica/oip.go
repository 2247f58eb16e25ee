package replica

import (
	"context"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/oip"
)

// This file joins the replica to the endpoints of the Open Inference Protocol, for clients that speak it.

// handleOIP adds the protocol's endpoints.
func (s *Server) handleOIP(mux *access.Mux) {
	mux.Add("GET /v2/health/live", access.Anyone, s.health)
	mux.Add("GET /v2/health/ready", access.Anyone, s.healthReady)
	service := &oip.Service{Backend: oipBackend{s}, Version: s.cfg.Model().Version, Uploads: s.uploads, Access: s.cfg.Access, Log: s.cfg.Log,
		Counted: func(h httpx.HandlerFunc) httpx.HandlerFunc { return s.metrics.counted(s.unlessFull(h)) }}
	service.Add(mux)
}

// unlessFull refuses requests before their bodies are read if the queue is full.
func (s *Server) unlessFull(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.admission.check(); err != nil {
			return err
		}
		return h(w, r)
	}
}

// oipBackend is the replica as the protocol sees it.
type oipBackend struct{ *Server }

// Ready implements oip.Backend.
func (b oipBackend) Ready() error {
	select {
	case <-b.ready:
		return nil
	default:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "Replica is starting"}
	}
}

// Names implements oip.Backend.
func (b oipBackend) Names() (names []string) {
	if b.cfg.Models == nil {
		return []string{modelName}
	}
	names = []string{} // not null in JSON
	for _, m := range b.cfg.Models.Models().Models {
		if m.State == resnet18cloud.ModelServing {
			names = append(names, m.Name)
		}
	}
	return names
}

// Find implements oip.Backend. The name resnet18 stands for the default model if no other has it; that of its weights does
// too if there is only one.
func (b oipBackend) Find(r *http.Request, name, version string) (t oip.Model, err error) {
	c := b.classifier
	t = oip.Model{Parallel: b.cfg.Concurrency, Release: func() {}}
	switch m := b.cfg.Model(); {
	case b.cfg.Models != nil:
		var status resnet18cloud.ModelStatus
		if c, status, t.Release, err = b.hold(name, version); err != nil {
			return t, err
		}
		t.Version = status.Version
	default:
		// The version in an identity such as head-mlp@b77ebe4c.
		t.Version = m.Info.Version[:min(8, len(m.Info.Version))]
		if name != m.Info.Name && name != modelName || version != "" && version != t.Version {
			return t, oip.UnknownModel(name, version, t.Version, modelName, m.Info.Name)
		}
	}
	known, ok := c.(resnet18cloud.Labeler)
	if ok {
		t.Labels, err = known.Labels(r.Context())
	} else {
		err = &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "The classes are not known"}
	}
	if err != nil {
		t.Release()
		return t, err
	}
	t.Classify = func(ctx context.Context, _ int, image resnet18cloud.Image) (resnet18cloud.Result, error) {
		result, err := b.classify(ctx, c, image)
		if err == nil {
			b.metrics.observe(ctx, result.Timing)
		}
		return result, err
	}
	return t, nil
}

// hold finds a model among several.
func (b oipBackend) hold(name, version string) (c resnet18cloud.Classifier, m resnet18cloud.ModelStatus, release func(), err error) {
	named := name
	if version != "" {
		named += "@" + version
	}
	c, m, release, err = b.cfg.Models.Hold(named)
	if err != nil && name == modelName && version == "" {
		return b.cfg.Models.Hold("")
	}
	return c, m, release, err
}
