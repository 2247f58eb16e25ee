package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpMinikube runs make up-minikube with stand-ins for its tools, and checks what they are told.
func TestUpMinikube(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	log := filepath.Join(bin, "log")
	for _, tool := range []string{"docker", "minikube", "kubectl"} {
		script := "#!/bin/sh\necho " + tool + ` "$@" >> ` + log + "\n"
		if tool == "minikube" {
			script += `[ "$1" != status ]` + "\n" // it does not run yet
		}
		if err := os.WriteFile(filepath.Join(bin, tool), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := func() (string, error) {
		cmd := exec.Command("make", "-C", root, "--no-print-directory", "up-minikube", "VERSION=v1.2.3", "COMMIT=abc", "SOURCE_DATE_EPOCH=1700000000", "MODEL_MIRROR=https://models.example")
		cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run()
	if err != nil || !strings.Contains(out, "port-forward svc/dispatcher-service 8080:8080") {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := `minikube status
minikube start
docker build --build-arg VERSION=v1.2.3 --build-arg COMMIT=abc --label org.opencontainers.image.revision=abc --label org.opencontainers.image.created=2023-11-14T22:13:20Z --target dispatcher -t dispatcher:latest .
docker build --build-arg VERSION=v1.2.3 --build-arg COMMIT=abc --label org.opencontainers.image.revision=abc --label org.opencontainers.image.created=2023-11-14T22:13:20Z --build-arg MODEL_MIRROR=https://models.example --target replica -t resnet18-app:latest .
minikube image load dispatcher:latest
minikube image load resnet18-app:latest
kubectl --context minikube apply -k k8s/overlays/minikube
kubectl --context minikube apply -f k8s/autoscaler.yaml
kubectl --context minikube rollout status --timeout 5m statefulset/dispatcher
kubectl --context minikube rollout status --timeout 5m deployment/resnet18-app
`
	if string(got) != want {
		t.Errorf("ran\n%swant\n%s", got, want)
	}
}
