package main

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

// release is what helm template prints for a chart.
type release struct {
	documents []string // objects, as YAML
	tests     []string // objects of helm test
	notes     string
}

// chart renders the chart in dir with files of values, of which later ones win, like helm install.
func chart(dir, namespace string, files ...string) (*release, error) {
	values := make(map[string]any)
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read values: %w", err)
		}
		var more map[string]any
		if err := yaml.Unmarshal(data, &more); err != nil {
			return nil, fmt.Errorf("read values %s: %w", name, err)
		}
		values = loader.MergeMaps(values, more)
	}
	return render(dir, namespace, values)
}

func render(dir, namespace string, values map[string]any) (*release, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load chart: %w", err)
	}
	options := common.ReleaseOptions{Name: "resnet18", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(c, values, options, nil)
	if err != nil {
		return nil, fmt.Errorf("check values: %w", err)
	}
	// A value that is missing is an error, not "<no value>".
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("render chart: %w", err)
	}
	r := new(release)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case path.Base(name) == "NOTES.txt":
			r.notes = files[name]
			continue
		case path.Ext(name) != ".yaml":
			continue
		}
		for document := range strings.SplitSeq(files[name], "\n---\n") {
			if document = strings.TrimSpace(document); document == "" || document == "---" {
				continue
			}
			if strings.Contains(document, "\n    helm.sh/hook: test\n") {
				r.tests = append(r.tests, document)
			} else {
				r.documents = append(r.documents, document)
			}
		}
	}
	return r, nil
}
