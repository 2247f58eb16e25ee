//go:build !only_replica && !only_dispatcher

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/target"
)

// loadtestTarget names the server, the API, and the labels to expect.
type loadtestTarget struct {
	URL         string            `help:"Base URL of a dispatcher or, with --api=sync, of a replica; with --api=http the full URL." type:"url" placeholder:"URL" default:"http://127.0.0.1:8080" env:"RESNET18_LOADTEST_URL" group:"target"`
	Server      string            `arg:"" name:"server" optional:"" help:"Base URL of the server, or its address: the same as --url." type:"url" placeholder:"URL"`
	API         string            `help:"API to use: async (POST /predict_async, then wait for the result), sync (POST /predict), oip (Open Inference Protocol v2; images become tensors before the run) or http (POST of the image)." enum:"async,sync,oip,http" default:"async" env:"RESNET18_LOADTEST_API" group:"target"`
	OIPModel    string            `name:"oip-model" help:"With --api=oip: name of the model." placeholder:"NAME" default:"resnet18" env:"RESNET18_LOADTEST_OIP_MODEL" group:"target"`
	OIPBinary   bool              `name:"oip-binary" help:"With --api=oip: send tensors in the binary extension instead of JSON." env:"RESNET18_LOADTEST_OIP_BINARY" group:"target"`
	Header      map[string]string `help:"Request header, such as 'X-Priority=bulk'; repeatable. Requests for --metrics have it too if they go to the same host." placeholder:"NAME=VALUE" env:"RESNET18_LOADTEST_HEADER" group:"target"`
	callerFlags `envprefix:"RESNET18_LOADTEST_" set:"needs=scope predict, and scope read to record the server's state" group:"target"`
	Metrics     string `help:"URL of Prometheus metrics to record during the run. Default with --api=async or sync: /metrics of --url." type:"url" placeholder:"URL" env:"RESNET18_LOADTEST_METRICS" group:"target"`
	LabelPath   string `help:"With --api=http: path of the best label in JSON responses, such as predictions.0." placeholder:"PATH" env:"RESNET18_LOADTEST_LABEL_PATH" group:"target"`

	Images string `help:"Folder with images, including subfolders; 'make images' fills the default." placeholder:"DIR" default:"images/imagenet-sample-images" type:"path" env:"RESNET18_LOADTEST_IMAGES" group:"images"`
	Unique *bool  `help:"Append 16 unique bytes to each image, which decoders ignore, so that no cache has its result. Default with --api=async and sync, because a dispatcher would answer repeated images from its cache; --no-unique sends the files as they are." negatable:"" env:"RESNET18_LOADTEST_UNIQUE" group:"images"`
	Expect string `help:"Expected labels; others count as errors. A file of JSON lines with file and label (or top5_names), 'folders' if --images has a folder for each class, with the name of its label, or 'names' for the classes in the names of ImageNet's sample files." placeholder:"FILE|folders|names" env:"RESNET18_LOADTEST_EXPECT" group:"images"`
}

// AfterApply makes the argument the URL.
func (c *loadtestTarget) AfterApply() error {
	c.URL = cmp.Or(c.Server, c.URL)
	return nil
}

// preparedBytes bounds the tensors that are kept for --api=oip: 400 images in binary, 150 in JSON.
const preparedBytes = 256 << 20

// config is the configuration by the options of target and images.
func (c *loadtestTarget) config(ctx context.Context, h *http.Client) (load.Config, error) {
	u, err := server("--url", c.URL, "http://127.0.0.1:8080")
	if err != nil {
		return load.Config{}, err
	}
	switch {
	case c.Expect != "" && c.API == "http" && c.LabelPath == "":
		return load.Config{}, badUsage(errors.New("with --api=http, --expect requires --label-path"))
	case c.unique() && c.API == "oip":
		return load.Config{}, badUsage(errors.New("--unique cannot be used with --api=oip: tensors have no room for more bytes"))
	}
	files, err := images.Find(c.Images)
	if err != nil {
		return load.Config{}, fmt.Errorf("%w (name a folder of pictures with --images, or run 'make images' to fetch a thousand)", err)
	}
	config := load.Config{Images: files, Settings: c.settings(len(files))}
	if config.Expect, err = c.expectation(files); err != nil {
		return load.Config{}, err
	}
	if c.unique() {
		config.Open = load.Unique(images.Map)
	}
	headers, err := c.headers()
	if err != nil {
		return load.Config{}, err
	}
	config.Probe = load.Probe{Client: h, Metrics: c.Metrics, Header: headers, Host: u.Host}
	if base := strings.TrimSuffix(c.URL, "/"); c.API == "async" || c.API == "sync" {
		config.Probe.Status, config.Probe.Metrics = base+"/status", cmp.Or(c.Metrics, base+"/metrics")
	}
	api := &client.Client{BaseURL: c.URL, HTTP: h, Header: headers}
	switch c.API {
	case "async":
		config.Target = target.Async{Client: api}
	case "sync":
		config.Target = target.Sync{Client: api}
	case "http":
		other := target.HTTP{Client: h, URL: c.URL, Header: headers}
		if c.LabelPath != "" {
			other.Label = target.LabelAt(c.LabelPath)
		}
		config.Target = other
	case "oip":
		oip := target.OIP{Client: h, URL: c.URL, Model: c.OIPModel, Binary: c.OIPBinary, Labels: imagenet.Label, Header: headers}
		tensor, err := oip.Describe(ctx)
		if err != nil {
			return load.Config{}, fmt.Errorf("%w (check --oip-model and --url)", err)
		}
		var cropper preprocess.Cropper
		var input preprocess.Input
		encode := func(image []byte) ([]byte, error) {
			if err := cropper.Crop(&input, image); err != nil {
				return nil, err
			}
			return oip.Encode(tensor, preprocess.Normalize(input, cropper.Spec, tensor.ChannelsLast()))
		}
		config.Target = oip.Target()
		if config.Images, config.Open, err = load.Prepare(ctx, files, encode, preparedBytes); err != nil {
			return load.Config{}, err
		}
	}
	return config, nil
}

// settings describe the options of target and images in a result. Values of headers may be secrets and are not in it.
func (c *loadtestTarget) settings(found int) []result.Setting {
	all := []result.Setting{{Name: "images", Value: fmt.Sprintf("%d of %s", found, c.Images)}, {Name: "unique", Value: yesOrNo(c.unique())}}
	add := func(name, value string) {
		if value != "" {
			all = append(all, result.Setting{Name: name, Value: value})
		}
	}
	add("expect", c.Expect)
	add("headers", strings.Join(slices.Sorted(maps.Keys(c.Header)), " "))
	if c.API == "oip" {
		add("oip model", c.OIPModel)
		add("oip binary", yesOrNo(c.OIPBinary))
	}
	return all
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// unique reports whether to make each image unique. See docs/decisions/0126-each-image-is-sent-once.md.
func (c *loadtestTarget) unique() bool {
	if c.Unique != nil {
		return *c.Unique
	}
	return c.API == "async" || c.API == "sync"
}

// headers are the headers of the options.
func (c *loadtestTarget) headers() (http.Header, error) {
	all := http.Header{}
	if err := c.authorize(all); err != nil {
		return nil, err
	}
	for name, value := range c.Header {
		all.Set(name, value)
	}
	return all, nil
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
	case "folders":
		root, err := filepath.EvalSymlinks(c.Images) // as in images
		if err != nil {
			return nil, fmt.Errorf("--expect folders: %w", err)
		}
		expect, err := load.ExpectFolders(root, images)
		if err != nil {
			return nil, fmt.Errorf("--expect folders: %w", err)
		}
		return expect, nil
	default:
		if info, err := os.Stat(c.Expect); err == nil && info.IsDir() {
			return nil, fmt.Errorf("--expect: %s is a folder, want a file; for labels from the folders below --images, use --expect folders", c.Expect)
		}
		expect, err := load.ReadExpectation(c.Expect)
		if err != nil {
			return nil, fmt.Errorf("--expect: %w", err)
		}
		if !slices.ContainsFunc(images, func(path string) bool { return expect[filepath.Base(path)] != "" }) {
			return nil, fmt.Errorf("--expect: %s has none of the images in %s", c.Expect, c.Images)
		}
		return expect, nil
	}
}
