package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/target"
)

// loadtestTarget says whom to load, how to ask, and which answers are right.
type loadtestTarget struct {
	URL       string            `help:"Where to send images: a dispatcher; with --api=sync also a replica; with --api=http the whole address." default:"http://127.0.0.1:8080" env:"RESNET18_LOADTEST_URL"`
	API       string            `help:"How to ask: async (POST /predict_async, then wait for the result), sync (POST /predict), oip (Open Inference Protocol v2, tensors made of the images before the run) or http (POST of the image)." enum:"async,sync,oip,http" default:"async" env:"RESNET18_LOADTEST_API"`
	OIPModel  string            `name:"oip-model" help:"Name of the model with --api=oip." default:"resnet18" env:"RESNET18_LOADTEST_OIP_MODEL"`
	OIPBinary bool              `name:"oip-binary" help:"Send tensors in the binary extension instead of JSON, with --api=oip." env:"RESNET18_LOADTEST_OIP_BINARY"`
	Header    map[string]string `help:"Headers of requests with --api=http or oip, as in 'Authorization=Bearer abc'; repeatable." placeholder:"NAME=VALUE" env:"RESNET18_LOADTEST_HEADER"`
	Metrics   string            `help:"Prometheus metrics to record beside the load; with --api=async or sync those of --url, if it has them." placeholder:"URL" env:"RESNET18_LOADTEST_METRICS"`
	LabelPath string            `help:"Where the best label is in JSON answers, with --api=http, as in predictions.0; empty for nowhere." placeholder:"PATH" env:"RESNET18_LOADTEST_LABEL_PATH"`

	Images string `help:"Folder with images, searched with all its subfolders; 'make images' fills the default." default:"images/imagenet-sample-images" type:"path" env:"RESNET18_LOADTEST_IMAGES"`
	Unique bool   `help:"Put 16 bytes behind each image that make it another one, so that no cache answers. Decoders do not look there." env:"RESNET18_LOADTEST_UNIQUE"`
	Expect string `help:"Which labels are right; others count as errors. A file of JSON lines with file and label, or top5_names; or the word names, for the classes in the names of ImageNet's sample files." placeholder:"FILE" env:"RESNET18_LOADTEST_EXPECT"`
}

// preparedBytes bounds the tensors that are kept for --api=oip: 400 images in binary, 150 in JSON.
const preparedBytes = 256 << 20

// config fills in what the options say of target and images.
func (c *loadtestTarget) config(ctx context.Context, h *http.Client) (load.Config, error) {
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return load.Config{}, fmt.Errorf("--url is %q, want one such as http://127.0.0.1:8080", c.URL)
	}
	files, err := images.Find(c.Images)
	if err != nil {
		return load.Config{}, fmt.Errorf("%w ('make images' fetches a thousand)", err)
	}
	config := load.Config{Images: files}
	if config.Expect, err = c.expectation(files); err != nil {
		return load.Config{}, err
	}
	if config.Expect != nil && c.API == "http" && c.LabelPath == "" {
		return load.Config{}, errors.New("--expect needs --label-path with --api=http, to know where the label is")
	}
	if c.Unique {
		if c.API == "oip" {
			return load.Config{}, errors.New("--unique is for images; tensors of --api=oip have no place for it")
		}
		config.Open = load.Unique(images.Map)
	}
	config.Probe = load.Probe{Client: h, Metrics: c.Metrics}
	if base := strings.TrimSuffix(c.URL, "/"); c.API == "async" || c.API == "sync" {
		config.Probe.Status, config.Probe.Metrics = base+"/status", cmp.Or(c.Metrics, base+"/metrics")
	}
	api := &client.Client{BaseURL: c.URL, HTTP: h}
	switch c.API {
	case "async":
		config.Target = target.Async{Client: api}
	case "sync":
		config.Target = target.Sync{Client: api}
	case "http":
		other := target.HTTP{Client: h, URL: c.URL, Header: c.headers(nil)}
		if c.LabelPath != "" {
			other.Label = target.LabelAt(c.LabelPath)
		}
		config.Target = other
	case "oip":
		oip := target.OIP{Client: h, URL: c.URL, Model: c.OIPModel, Binary: c.OIPBinary, Labels: imagenet.Label}
		tensor, err := oip.Describe(ctx)
		if err != nil {
			return load.Config{}, fmt.Errorf("%w (--oip-model and --url say which)", err)
		}
		var cropper preprocess.Cropper
		var input preprocess.Input
		encode := func(image []byte) ([]byte, error) {
			if err := cropper.Crop(&input, image); err != nil {
				return nil, err
			}
			return oip.Encode(tensor, preprocess.Normalize(&input, tensor.ChannelsLast()))
		}
		other := oip.Target()
		other.Header = c.headers(other.Header)
		config.Target = other
		if config.Images, config.Open, err = load.Prepare(ctx, files, encode, preparedBytes); err != nil {
			return load.Config{}, err
		}
	}
	return config, nil
}

// headers adds the user's headers to a target's own.
func (c *loadtestTarget) headers(own http.Header) http.Header {
	all := http.Header{}
	maps.Copy(all, own)
	for name, value := range c.Header {
		all.Set(name, value)
	}
	return all
}

func (c *loadtestTarget) expectation(images []string) (load.Expectation, error) {
	switch c.Expect {
	case "":
		return nil, nil
	case "names":
		labels := make([]string, imagenet.Classes)
		for i := range labels {
			labels[i] = imagenet.Label(i)
		}
		expect, err := load.ExpectNames(images, labels)
		if err != nil {
			return nil, fmt.Errorf("--expect names: %w", err)
		}
		return expect, nil
	default:
		expect, err := load.ReadExpectation(c.Expect)
		if err != nil {
			return nil, fmt.Errorf("--expect: %w", err)
		}
		if !slices.ContainsFunc(images, func(path string) bool { return expect[filepath.Base(path)] != "" }) {
			return nil, fmt.Errorf("--expect: %s names none of the images in %s", c.Expect, c.Images)
		}
		return expect, nil
	}
}
