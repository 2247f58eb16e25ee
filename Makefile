# Every target does its own set-up. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
GO ?= go
# Runs go test, and says at the end which tests were skipped.
GOTEST := GO=$(GO) $(GO) run ./test/gotest
BIN := bin/resnet18cloud
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/resnet18cloud
# An archive of the sources has no .git: its version is "dev", even when it lies inside another repository.
VERSION ?= $(shell git --git-dir=.git describe --tags --always --dirty 2>/dev/null || echo dev)
# What "resnet18cloud version" prints as the commit; unknown in an archive, unless it is given.
COMMIT ?= $(shell git --git-dir=.git rev-parse HEAD 2>/dev/null)

# Reference data (real weights and images) may stand beside the repository.
SHARED ?= $(wildcard ../shared)
ifneq ($(SHARED),)
export MODEL_MIRROR ?= $(SHARED)/models
endif

SAMPLE_IMAGES := images/imagenet-sample-images
SAMPLE_IMAGES_REPO := https://github.com/EliSchwartz/imagenet-sample-images

.PHONY: help build weights up up-minikube buildah containers images test slow vet format race purego arm64 avx512 e2e chaos cluster hold httpfuzz soak mutants fuzz manifests rivals kube-score kubernetes pods bench system protocols compare compare-decode compare-replica simulate live lint vuln asan notice release release-check generate generated clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

build: ## Build the one static binary, bin/resnet18cloud
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o $(BIN) ./cmd/resnet18cloud

weights: build ## Fetch the weights into the user's cache, unless they are there
	@$(BIN) model pull || printf '%s\n' "" "No weights fetched: up starts on random ones and says so. Three ways to real ones, each a line to paste:" "" \
		"  make up MODEL_MIRROR=$$HOME/models" \
		"      once this folder has a models.json and the file that it names; it can be a URL too" \
		"  $(BIN) up --model $$HOME/Downloads/resnet18-f37072fd.pth" \
		"      once the file is there, from https://download.pytorch.org/models/resnet18-f37072fd.pth; a model of your own works too" \
		"  $(BIN) model pull && make up" \
		"      later, with a network" "" >&2

up: weights ## Start everything on this machine: dispatcher on 127.0.0.1:8080, a replica on :5000, the page (UP_FLAGS='--addr :8081 --open')
	@exec $(BIN) up $(UP_FLAGS)

# What the images say of their sources. Files and images have the time of the commit; 0 in an archive of the sources.
SOURCE_DATE_EPOCH ?= $(or $(shell git --git-dir=.git log -1 --format=%ct 2>/dev/null),0)
CREATED = $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%FT%TZ 2>/dev/null || date -u -r $(SOURCE_DATE_EPOCH) +%FT%TZ)
IMAGE_FLAGS = --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) \
	--label org.opencontainers.image.revision=$(COMMIT) --label org.opencontainers.image.created=$(CREATED)
# A mirror of weights that is a folder goes into the build as a context of its own.
IMAGE_MIRROR = $(if $(wildcard $(MODEL_MIRROR)/models.json),--build-context mirror=$(MODEL_MIRROR) --build-arg MODEL_MIRROR=/mirror,$(if $(MODEL_MIRROR),--build-arg MODEL_MIRROR=$(MODEL_MIRROR)))

# Without Docker and without a registry. This Go's caches stand in for the Dockerfile's. When a step has one cache of its own, buildah prefers
# that to a volume: there, downloads are mounted below it. It does not set BUILDPLATFORM by itself.
PLATFORM ?= linux/$(shell $(GO) env GOARCH)
TAG ?= latest
BUILDAH = buildah bud --isolation chroot --pull-never --identity-label=false --timestamp $(SOURCE_DATE_EPOCH) --platform $(PLATFORM) \
	--build-arg BUILDPLATFORM=linux/$$($(GO) env GOARCH) \
	--volume $$($(GO) env GOMODCACHE):/go/pkg/mod --volume $$($(GO) env GOMODCACHE)/cache/download:/go/pkg/mod/cache/download \
	--volume $$($(GO) env GOCACHE):/go/build
SBOM := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

buildah: ## Build both container images with buildah, in an image made of Debian and this Go (root; Debian's buildah and debootstrap; PLATFORM, TAG)
	@test/containers/golang.sh docker.io/library/golang:1.26
	@$(GO) mod download && $(GO) install -n $(SBOM) 2>/dev/null
	$(BUILDAH) $(IMAGE_FLAGS) --target dispatcher -t dispatcher:$(TAG) .
	$(BUILDAH) $(IMAGE_FLAGS) $(IMAGE_MIRROR) --target replica -t resnet18-app:$(TAG) .

containers: ## Build both images as make buildah does, look into them, and run them with podman as the manifests say (Linux, root; Debian's podman, runc)
	$(GOTEST) -count=1 -tags containers -v -timeout 40m ./test/containers

IN_MINIKUBE := kubectl --context minikube

up-minikube: ## Start minikube, build the images and load them, and deploy everything (needs Docker, minikube and kubectl)
	@for tool in docker minikube kubectl; do command -v $$tool >/dev/null || { echo "up-minikube needs $$tool, which is not installed; docs/kubernetes.md says what else is needed" >&2; exit 1; }; done
	minikube status >/dev/null 2>&1 || minikube start
	docker build $(IMAGE_FLAGS) --target dispatcher -t dispatcher:latest .
	docker build $(IMAGE_FLAGS) $(IMAGE_MIRROR) --target replica -t resnet18-app:latest .
	minikube image load dispatcher:latest
	minikube image load resnet18-app:latest
	$(IN_MINIKUBE) apply -k k8s/overlays/minikube
	$(IN_MINIKUBE) apply -f k8s/autoscaler.yaml
	$(IN_MINIKUBE) rollout status --timeout 5m statefulset/dispatcher
	$(IN_MINIKUBE) rollout status --timeout 5m deployment/resnet18-app
	@printf '%s\n' "" "Open the page:  kubectl --context minikube port-forward svc/dispatcher-service 8080:8080" "                http://127.0.0.1:8080/"

images: $(SAMPLE_IMAGES) ## Put 1000 sample images, one per class, in images/imagenet-sample-images

$(SAMPLE_IMAGES):
	@mkdir -p images; rm -rf $@.part
	@if [ -d "$(SHARED)/images/imagenet-sample" ]; then cp -r "$(SHARED)/images/imagenet-sample" $@.part; \
	else echo "fetching $(SAMPLE_IMAGES_REPO)"; reason=$$(git clone --quiet --depth 1 $(SAMPLE_IMAGES_REPO) $@.part 2>&1) || { rm -rf $@.part; \
		echo "make images: cannot fetch the images ($$(echo "$$reason" | tail -n 1)). The page works without them: it has drawings to try, and '$(BIN) up --images FOLDER' offers pictures of yours" >&2; exit 1; }; \
		rm -rf $@.part/.git; fi
	@mv $@.part $@; echo "$$(ls $@ | grep -c JPEG) images in $@"

# go test runs all of go vet's checks, on packages as it builds them, so that nothing is built twice.
test: format ## Check formatting, run go vet and all tests that need nothing but Go
	$(GOTEST) -vet=all ./...

slow: ## Run the tests that make test shortens at full length: all reference images, plain Go, more mutants (needs ../shared)
	$(GOTEST) -tags slow -timeout 30m $(SLOW_PACKAGES)

SLOW_PACKAGES := ./engine ./engine/decode ./engine/quantize ./engine/resnet ./teach ./test/mutants

vet: format ## Check formatting and go vet
	$(GO) vet ./...

format:
	@unformatted=$$(find . \( -name '.?*' -o -name node_modules -o -name images \) -prune -o -name '*.go' -exec gofmt -l {} +); \
		[ -z "$$unformatted" ] || { echo "not formatted, repair with: gofmt -w" $$unformatted >&2; exit 1; }

# The dispatcher alone: its tests' replicas must answer probes within a second.
race: ## Run the tests of everything concurrent under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GOTEST) -race -short ./dispatch
	CGO_ENABLED=1 $(GOTEST) -race -short -skip '$(NOT_RACED)' $$($(GO) list $(RACED) | grep -vE '$(SERIAL)|/dispatch$$')

RACED := . ./catalog ./client/... ./dispatch/... ./replica/... ./load/... ./schedule ./autoscale/... ./internal/... ./engine ./engine/observe
# Packages and tests in which nothing runs at once, or nothing that others do not run too: to draw charts, to make the tests' pictures,
# to load models and to simulate takes minutes under the race detector.
SERIAL := /(load/report|load/compare|sim/report|internal/release)$$
NOT_RACED := AllocatesNothing$$|^(TestHeaderRefuses|TestIsLarge|TestDecodeTime|TestOddFiles|TestEmbed|TestUnknown|TestOutputNoNumber|TestTensorIsAPicture|TestSharedIsChecked|TestShadowKeepsItsOwnReplicas|TestQueueIsErlangs)$$

asan: ## Run the tests of code with assembly or unsafe under the address sanitizer (needs gcc or clang with libasan)
	CGO_ENABLED=1 $(GOTEST) -asan -short -skip 'Allocates|^TestRealFilesDamaged$$|^TestONNXExports$$' $(ASAN_PACKAGES)

# Without tests that parse whole real files again and again in plain Go, and without jpeg itself: its fuzzers' corpora
# and comparisons take minutes here.
ASAN_PACKAGES := ./engine/internal/... ./engine/decode/internal/kernel ./engine/jpeg/internal/... ./engine/preprocess ./engine/weights/... ./internal/lend

purego: ## Run the engine's tests without assembly: catches code that only an assembly path exercises
	$(GOTEST) -tags purego -short -skip '^(TestWorstFiles|TestOddFiles)$$' $(PURE_PACKAGES)
	$(GOTEST) -tags purego -short -run '$(PURE_NETWORKS)' ./engine ./engine/measure ./engine/resnet

# What has assembly, and of what infers, the results and the choice of a level. The rest does not depend on the kernels.
PURE_PACKAGES := ./engine/internal/... ./engine/decode/... ./engine/jpeg/... ./engine/preprocess
PURE_NETWORKS := ^(TestGolden.*|TestTorchvisions.*|TestInt8|TestInt8FirstSteps|TestBF16.*|TestChoose.*|TestAutoIsExplained|TestDescribeCPU.*|TestRun|TestStages)$$

arm64: ## Run the engine's tests as arm64 programs under emulation (needs Debian's qemu-user): on a CPU that has all, on one of 2016
	GOARCH=arm64 $(GO) vet ./engine/...
	$(ARM64_TEST) -exec "qemu-aarch64 -cpu max" -skip '^TestWorstFiles$$' $(ARM64_KERNELS) ./engine/preprocess ./engine/jpeg ./engine/decode ./engine/imagenet
	$(ARM64_TEST) -exec "qemu-aarch64 -cpu max" -run '^(TestGoldenLogits|TestInt8|TestBF16Labels|TestBF16NeedsTheCPU)$$' ./engine/resnet
	$(ARM64_TEST) -exec "qemu-aarch64 -cpu max" -run '^TestBF16' ./engine
	$(ARM64_TEST) -exec "qemu-aarch64 -cpu cortex-a72" $(ARM64_KERNELS)
	$(ARM64_TEST) -exec "qemu-aarch64 -cpu cortex-a72" -run '^(TestTorchvisionsLogits|TestInt8FirstSteps)$$' ./engine/resnet

ARM64_TEST := GOARCH=arm64 CGO_ENABLED=0 $(GO) test -short -timeout 20m
# What chooses code by the CPU's features. Networks are compared with torchvision and with plain Go on the older CPU; on the other one,
# TestInt8 compares its levels with that of the older.
ARM64_KERNELS := ./engine/internal/... ./engine/jpeg/internal/... ./engine/decode/internal/kernel

# Debian's kernel for the emulated PC, kept in the user's cache.
LINUX := $(CACHE)/linux/vmlinuz
$(LINUX):
	@rm -rf $(@D)/deb; mkdir -p $(@D)/deb; cd $(@D)/deb; apt-get download "$$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $$2; exit }')"
	@dpkg-deb --fsys-tarfile $(@D)/deb/*.deb | tar -xO --wildcards './boot/vmlinuz-*' >$@.part && rm -r $(@D)/deb && mv $@.part $@

avx512: $(LINUX) ## Run the engine's tests on an emulated PC that has AVX-512 and VNNI (needs Debian's bochs, bochs-term, isolinux, genisoimage; KERNELS_ONLY=1 is half as long)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/avx512 ./test/avx512
	CGO_ENABLED=0 $(GO) test -short -timeout 20m -exec '$(CURDIR)/bin/avx512 $(LINUX)' -run /avx512 $(AVX512_PACKAGES)
	[ -n "$(KERNELS_ONLY)" ] || CGO_ENABLED=0 $(GO) test -short -timeout 20m -exec '$(CURDIR)/bin/avx512 $(LINUX)' -run '^TestLevelsAgree$$' ./engine/resnet

# All that have code for AVX-512: the kernels of JPEG and of preprocessing end with AVX2.
AVX512_PACKAGES := $(addprefix ./engine/internal/,cpu kernel kernel8 peak)

e2e: build ## Run the whole system as a user would: the README's steps, crashes, Ctrl-C under load
	$(GOTEST) -count=1 -timeout 25m -tags e2e ./test/e2e/...

chaos: ## Break replicas, dispatchers, NATS, its disk and its files under load; lose nothing (root for the disk; CHAOS_REQUESTS, CHAOS_SEED, CHAOS_FAULTS)
	$(GO) test -count=1 -tags chaos -v -timeout 30m ./test/chaos

cluster: ## Run dispatchers on three NATS servers that are killed, stopped, cut off and restarted, under load (CLUSTER_REQUESTS, CLUSTER_SEED)
	$(GO) test -count=1 -tags cluster -v -timeout 90m -parallel 3 ./test/cluster

MUTANTS ?= -n 200 ./autoscale/... ./dispatch/...
mutants: ## Break one line at a time and report which breaks no test notices (slow; MUTANTS="-n 0 ./autoscale" tries all of a package)
	$(GO) run ./test/mutants -ignore test/mutants/equivalent.txt $(MUTANTS)

hold: ## Have slow clients hold uploads, connections and lists; compare what good ones feel (HOLD_SECONDS; HOLD_BINARY for another build)
	$(GO) test -count=1 -tags hold -v -timeout 40m ./test/hold

soak: ## Run good, slow, broken, hostile and flooding clients at once, and watch memory, goroutines and descriptors (Linux; SOAK_SECONDS)
	$(GO) test -count=1 -tags soak -v -timeout 3h ./test/soak

httpfuzz: ## Send random and mutated HTTP to a dispatcher and a replica beside a good client (HTTPFUZZ_SECONDS, HTTPFUZZ_SEED)
	$(GO) test -count=1 -tags httpfuzz -v -timeout 30m ./test/httpfuzz

# A real control plane, built once from its sources and kept in the user's cache.
KUBERNETES_VERSION := $(shell sed -n 's/^\tk8s.io\/kubernetes \(v[^ ]*\).*/\1/p' test/kubernetes/controlplane/go.mod)
KUBERNETES_BIN := $(CACHE)/kubernetes-$(KUBERNETES_VERSION)
CONTROL_PLANE := $(addprefix $(KUBERNETES_BIN)/,etcd kube-apiserver kube-controller-manager)
# With real nodes, and with the commands that operators use.
WHOLE_CLUSTER := $(CONTROL_PLANE) $(addprefix $(KUBERNETES_BIN)/,kube-scheduler kubelet kube-proxy kubectl helm)

$(KUBERNETES_BIN)/etcd: PACKAGE := go.etcd.io/etcd/server/v3
$(KUBERNETES_BIN)/kube%: PACKAGE = k8s.io/kubernetes/cmd/$(@F)
$(KUBERNETES_BIN)/helm: PACKAGE := helm.sh/helm/v4/cmd/helm
$(KUBERNETES_BIN)/helm: MODULE := test/manifests
$(WHOLE_CLUSTER): MODULE ?= test/kubernetes/controlplane
$(WHOLE_CLUSTER):
	@echo "building $(@F), which takes minutes; it is kept in $(@D)"; mkdir -p $(@D)
	cd $(MODULE) && CGO_ENABLED=0 $(GO) build -trimpath -o $@.part \
		-ldflags '-s -w -X k8s.io/component-base/version.gitVersion=$(KUBERNETES_VERSION)' $(PACKAGE)
	@mv $@.part $@

SHRINKS ?= 200
kubernetes: $(CONTROL_PLANE) ## Run on a real Kubernetes API server, pods being processes (builds it first: some ten minutes)
	KUBERNETES_BIN=$(KUBERNETES_BIN) $(GO) test -count=1 -tags kubernetes -v -timeout 50m -skip TestPods ./test/kubernetes -args -shrinks $(SHRINKS)

pods: $(WHOLE_CLUSTER) ## Run the images as pods on three real kubelets, and drain, kill and upgrade under load (root; Debian's containerd, runc, buildah, containernetworking-plugins, iptables, iproute2)
	KUBERNETES_BIN=$(KUBERNETES_BIN) $(GO) test -count=1 -tags kubernetes -v -timeout 30m -run TestPods ./test/kubernetes $(PODS_FLAGS)

# With the flags of the control plane, whose packages it shares.
rivals: ## Run Knative's and Kubernetes' own autoscalers beside ours of the same name (builds them first: some ten minutes)
	cd test/rivals && CGO_ENABLED=0 $(GO) test -trimpath -count=1 -v ./...

manifests: ## Render k8s/ and the chart with kustomize's and Helm's libraries, and check probes, limits, selectors, options and network policies
	cd test/manifests && $(GO) test -count=1 ./...

# What is left out is answered in docs/kubernetes.md.
KUBE_SCORE_FLAGS := --ignore-container-cpu-limit --ignore-test container-image-pull-policy,pod-probes-identical,deployment-replicas
kube-score: ## Check the production overlay with kube-score
	cd test/manifests && $(GO) run . kustomize ../../k8s/overlays/production | $(GO) run github.com/zegl/kube-score/cmd/kube-score@v1.20.0 score $(KUBE_SCORE_FLAGS) --output-format ci - | { ! grep -E '^\[(CRITICAL|WARNING)\]'; }

FUZZTIME ?= 60s
fuzz: ## Feed every parser of foreign bytes with what a fuzzer makes up, FUZZTIME each (FUZZ=./engine/jpeg for those in one folder)
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" test/fuzz.sh $(FUZZ)

bench: ## Measure the engine, the dispatcher and the load tester by themselves
	$(GO) test -run '^$$' -bench . -benchtime 2s ./engine/internal/kernel ./engine/internal/kernel8 ./engine/resnet ./engine/jpeg ./engine/preprocess
	$(GO) test ./dispatch -run '^$$' -bench 'ClosedLoop|OpenLoop300' -benchtime 5000x
	$(GO) test ./load -run '^$$' -bench Send -benchtime 1x -cpu 1

system: weights images ## Measure what the way through dispatcher and replica costs beside the classifying (Linux; SYSTEM_FLAGS)
	$(GO) run ./bench/system -binary $(BIN) $(SYSTEM_FLAGS)

protocols: build images ## Compare the throughput of a replica by /predict and by gRPC, in turns
	$(GO) run ./bench/protocols -binary $(BIN) $(PROTOCOLS_FLAGS)

BENCH_MODULES := bench/node_modules/.package-lock.json
$(BENCH_MODULES): bench/package-lock.json
	cd bench && ONNXRUNTIME_NODE_INSTALL=skip npm install --no-audit --no-fund
	@touch $@

compare: $(BENCH_MODULES) ## Measure inference side by side with ONNX Runtime, PyTorch, OpenCV and ncnn (needs npm, ../shared; Debian's python3-torch, python3-opencv; NCNN=FOLDER)
	$(GO) run ./bench/compare $(if $(NCNN),-ncnn $(NCNN)) $(COMPARE_FLAGS)

compare-replica: build $(BENCH_MODULES) ## Measure a whole replica side by side with Node.js, sharp and ONNX Runtime (Linux; needs npm, ../shared)
	$(GO) run ./bench/replica -binary $(BIN) $(COMPARE_FLAGS)

compare-decode: ## Measure decoding and resizing side by side with Pillow and torchvision (needs Debian's python3-torchvision, ../shared)
	$(GO) run ./bench/decode $(COMPARE_FLAGS)

simulate: build ## Compare scaling policies anew: every table and picture of docs/autoscaling.md
	$(BIN) simulate --docs docs/autoscaling.md

live: weights ## Scale real replica processes and simulated ones by the same policies; set the results side by side (9 minutes)
	$(GO) run ./bench/autoscale -record bench/autoscale/testdata/live.json -docs docs/autoscaling.md

lint: ## Run the linters
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run

GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
# A database that cannot be reached is no finding, but it is said. VULN_FLAGS="-db URL" names another one.
vuln: ## Look for known vulnerabilities in the code that the programs call (needs the network)
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; \
		if $(GO) run $(GOVULNCHECK) $(VULN_FLAGS) ./... 2>&1 | tee $$log; then exit 0; fi; \
		grep -q 'fetching vulnerabilities' $$log || exit 1; \
		echo "NOT CHECKED for known vulnerabilities: the database (https://vuln.go.dev) cannot be reached" >&2

generate: ## Regenerate assembly and the glyphs of charts
	$(GO) generate ./...

generated: ## Check that generated files are what their generators write
	@sums() { { grep -rl --include='*.s' --include='*.go' '^// Code generated' engine; echo internal/chart/glyphs.bin; } | sort | xargs sha256sum; }; \
		before=$$(sums); $(MAKE) --no-print-directory generate; \
		diff <(echo "$$before") <(sums) || { echo "generated files were out of date; they have been regenerated: commit them" >&2; exit 1; }

notice: ## Write NOTICE: the licences of all modules in the released binaries (make test checks that it is current)
	$(GO) run ./internal/release notice

release: ## Build archives, bills of materials and SHA256SUMS for every platform in dist; VERSION is the tag's (RELEASE_ONLY=linux/amd64,... for some platforms)
	$(GO) run ./internal/release build -version $(VERSION) -commit '$(COMMIT)' -out dist $(if $(RELEASE_ONLY),-only $(RELEASE_ONLY))

# Other folder, no .git, empty build cache for the program (not for the tools, which only read it): what is left to make a difference is the sources and Go.
release-check: release ## Build the release for this machine's platform once more, elsewhere from nothing, and compare the bytes
	@dir=$$(mktemp -d); trap 'chmod -R u+w $$dir; rm -rf $$dir' EXIT; mkdir $$dir/src; \
		tar -c --exclude=./.git --exclude=./bin --exclude=./dist --exclude=./images --exclude=node_modules . | tar -x -C $$dir/src; \
		cd $$dir/src; $(GO) run ./internal/release build -cache $$dir/cache -version $(VERSION) -commit '$(COMMIT)' -out $$dir/dist -only $$($(GO) env GOOS)/$$($(GO) env GOARCH); \
		cd $$dir/dist; for file in resnet18cloud_*; do cmp $$file $(CURDIR)/dist/$$file; echo "$$file: same bytes"; done

clean: ## Remove what was built
	rm -rf bin dist
