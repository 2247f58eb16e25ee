package model

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
)

// HubEndpoint is the URL of Hugging Face's hub.
const HubEndpoint = "https://huggingface.co"

// Hub is a server of models that speaks the protocol of Hugging Face's hub: files are at
// ENDPOINT/owner/name/resolve/REVISION/FILE, large ones on another host.
type Hub struct {
	// Endpoint is the URL of the server; empty means HubEndpoint.
	Endpoint string
	// Token is sent as 'Authorization: Bearer' to the host of Endpoint and to no other; empty means none.
	Token string
}

// hubWeights are the names of weight files on the hub, the best first.
var hubWeights = []string{"model.safetensors", "pytorch_model.bin"}

var (
	hubModel    = regexp.MustCompile(`^[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}$`)
	hubRevision = regexp.MustCompile(`^[\w./-]{1,128}$`)
	commit      = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// repository is a model at a revision.
type repository struct {
	hub             Hub
	client          *http.Client
	model, revision string
}

// source finds the weight file of a model given as "owner/name" or "owner/name@revision", at the commit that the revision is
// at now, and reads the files that describe it.
func (h Hub) source(ctx context.Context, client *http.Client, model string) (Source, error) {
	model, revision, at := strings.Cut(model, "@")
	if !at {
		revision = "main"
	}
	if !hubModel.MatchString(model) || !hubRevision.MatchString(revision) || strings.Contains(revision, "..") {
		return Source{}, fmt.Errorf("hf:%.200s@%.200s: want owner/name or owner/name@revision", model, revision)
	}
	h.Endpoint = h.endpoint()
	if !isURL(h.Endpoint) {
		return Source{}, fmt.Errorf("endpoint of the hub %q: want a URL such as %s", h.Endpoint, HubEndpoint)
	}
	r := repository{h, client, model, revision}
	source, err := r.weights(ctx)
	if err != nil {
		return Source{}, fmt.Errorf("model %s of %s: %w", model, h.Endpoint, err)
	}
	return source, nil
}

func (h Hub) endpoint() string { return strings.TrimSuffix(cmp.Or(h.Endpoint, HubEndpoint), "/") }

// page returns the model of the URL of its page; empty for other URLs.
func (h Hub) page(location string) string {
	model, _ := strings.CutPrefix(location, h.endpoint()+"/")
	if !hubModel.MatchString(model) {
		return ""
	}
	return model
}

// weights finds the weight file and what describes it.
func (r repository) weights(ctx context.Context) (Source, error) {
	for _, name := range hubWeights {
		s, err := r.find(ctx, name)
		if errors.Is(err, errNoFile) {
			continue
		}
		if err != nil {
			return Source{}, fmt.Errorf("%s: %w", name, err)
		}
		r.revision = s.Revision // all files are of one commit
		s.sides = map[string][]byte{}
		for _, side := range []string{describe.ConfigFile, describe.ProcessorFile} {
			data, err := r.read(ctx, side)
			if errors.Is(err, errNoFile) {
				continue
			}
			if err != nil {
				return Source{}, fmt.Errorf("%s: %w", side, err)
			}
			s.sides[side] = data
		}
		return s, nil
	}
	return Source{}, fmt.Errorf("revision %s has neither %s; give the URL of another weight file instead", r.revision, strings.Join(hubWeights, " nor "))
}

// errNoFile is the error for a file that a repository does not have.
var errNoFile = errors.New("no such file")

func (r repository) url(name string) string {
	return r.hub.Endpoint + "/" + r.model + "/resolve/" + url.PathEscape(r.revision) + "/" + name
}

// find asks for the size, digest and commit of a file. The hub answers that itself, before it redirects to the host of large
// files.
func (r repository) find(ctx context.Context, name string) (Source, error) {
	response, err := r.request(ctx, http.MethodHead, name, true)
	if err != nil {
		return Source{}, err
	}
	response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		return Source{}, r.errStatus(response)
	}
	h := response.Header
	s := Source{Weights: r.model, Origin: r.hub.Endpoint + "/" + r.model, Licence: "see " + r.hub.Endpoint + "/" + r.model, Revision: r.revision}
	if c := h.Get("X-Repo-Commit"); commit.MatchString(c) {
		s.Revision = c
		r.revision = c
	}
	s.Location = r.url(name)
	s.SHA256 = digestOf(h)
	if s.Bytes, err = sizeOf(response); err != nil {
		return Source{}, err
	}
	return s, nil
}

// digestOf returns the SHA-256 of a large file; empty for small ones, whose tags are Git's.
func digestOf(h http.Header) string {
	for _, key := range []string{"X-Linked-Etag", "ETag"} {
		tag := strings.Trim(strings.TrimPrefix(h.Get(key), "W/"), `"`)
		if sum, err := hex.DecodeString(tag); err == nil && len(sum) == 32 {
			return strings.ToLower(tag)
		}
	}
	return ""
}

// sizeOf returns the size of the file, 0 if it is not known.
func sizeOf(response *http.Response) (int64, error) {
	size := int64(0)
	if linked := response.Header.Get("X-Linked-Size"); linked != "" {
		n, err := strconv.ParseInt(linked, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("server sent size %.40q", linked)
		}
		size = n
	} else if response.StatusCode == http.StatusOK {
		size = max(0, response.ContentLength)
	}
	if size < 0 || size > weights.MaxBytes {
		return 0, fmt.Errorf("file has %d bytes, the limit is %d", size, weights.MaxBytes)
	}
	return size, nil
}

// read returns a small file.
func (r repository) read(ctx context.Context, name string) ([]byte, error) {
	response, err := r.request(ctx, http.MethodGet, name, false)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, r.errStatus(response)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, describe.MaxBytes+1))
	if err == nil && len(data) > describe.MaxBytes {
		err = fmt.Errorf("it has more than %d bytes", describe.MaxBytes)
	}
	return data, err
}

// request sends a request for a file. If stay, it does not follow redirects to other hosts.
func (r repository) request(ctx context.Context, method, name string, stay bool) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.url(name), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity") // sizes are those of the file
	client := *r.hub.client(r.client, Source{Revision: r.revision})
	if stay {
		client.CheckRedirect = func(next *http.Request, before []*http.Request) error {
			if next.URL.Host != before[0].URL.Host {
				return http.ErrUseLastResponse
			}
			if len(before) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		}
	}
	return client.Do(request)
}

// errStatus says what a status means for a model. The hub names the reason in a header; other texts of it are not shown.
func (r repository) errStatus(response *http.Response) error {
	err := errStatus(response.StatusCode)
	switch reason := response.Header.Get("X-Error-Code"); {
	case reason == "RevisionNotFound":
		return fmt.Errorf("there is no revision %s", r.revision)
	case reason == "RepoNotFound" && response.StatusCode == http.StatusNotFound:
		return errors.New("there is no such model")
	case response.StatusCode == http.StatusNotFound:
		return errNoFile
	case response.StatusCode != http.StatusUnauthorized && response.StatusCode != http.StatusForbidden:
		return err
	case r.hub.Token == "":
		return fmt.Errorf("%w: the model is private, wants its terms accepted, or does not exist; to read it, set HF_TOKEN to a token of yours (%s/settings/tokens)",
			err, r.hub.Endpoint)
	}
	return fmt.Errorf("%w: the token of HF_TOKEN may not read this model; accept its terms on %s/%s, or give a token that may", err, r.hub.Endpoint, r.model)
}

// client returns a client that sends the token to the hub's host, for a source from a repository of the hub; others get none.
func (h Hub) client(c *http.Client, source Source) *http.Client {
	endpoint, err := url.Parse(h.endpoint())
	if err != nil || h.Token == "" || source.Revision == "" {
		return c
	}
	with := *c
	with.Transport = &bearer{scheme: endpoint.Scheme, host: endpoint.Host, token: h.Token, next: c.Transport}
	return &with
}

// bearer adds a token to the requests to one host. A header of the first request would be sent to the hosts of redirects
// that are inside its domain.
type bearer struct {
	scheme, host, token string
	next                http.RoundTripper // nil means http.DefaultTransport
}

func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	if request.URL.Scheme == b.scheme && request.URL.Host == b.host {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+b.token)
	}
	return next.RoundTrip(request)
}
