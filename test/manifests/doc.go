// Command manifests renders the overlays of k8s/ and the chart in charts/ without kubectl or helm, with the libraries that
// these two are made of, and its tests check what is rendered. It is a module of its own, so that these libraries stay out
// of the project's dependencies.
//
//	go run . kustomize DIR                 the objects of an overlay, as YAML
//	go run . chart [-f VALUES.yaml]... DIR the objects of a chart
package main
