// Package containers builds the two container images from the repository's Dockerfile with buildah, and runs them
// with podman as the manifests say: `make containers`. The image that the Dockerfile builds in is made on this machine, so that
// no registry is needed. Build tag containers; Linux, root.
package containers
