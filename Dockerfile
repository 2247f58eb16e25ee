# syntax=docker/dockerfile:1
#
# Two images, each with one static program and nothing else but certificates, licences and a bill of materials (and weights):
#
#   docker build --target dispatcher --build-arg VERSION=$(git describe --tags --always) -t dispatcher:latest .
#   docker build --target replica --build-arg VERSION=$(git describe --tags --always) -t resnet18-app:latest .
#
# The replica's image carries its weights, so that a new pod serves in a second and needs no network. They
# are torchvision's, fetched while building. Where the network is closed, name a folder with a models.json:
#
#   docker build --target replica --build-context mirror=DIR --build-arg MODEL_MIRROR=/mirror -t resnet18-app:latest .
#
# Equal sources, arguments and base give equal bytes; with BuildKit, set --build-arg SOURCE_DATE_EPOCH and the output's
# rewrite-timestamp=true. docs/kubernetes.md has images for several architectures. make buildah builds this file without Docker.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOCACHE=/go/build GOFLAGS="-trimpath -buildvcs=false"
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev COMMIT= SBOM=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
# One folder for each image, with all that it has.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build \
    set -e; for image in dispatcher replica; do \
        GOOS=$TARGETOS GOARCH=$TARGETARCH go build -tags only_$image -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
            -o /out/$image/resnet18cloud ./cmd/resnet18cloud; \
        install -D -m 644 -t /out/$image/etc/ssl/certs /etc/ssl/certs/ca-certificates.crt; \
        install -D -m 644 -t /out/$image/usr/share/doc/resnet18cloud LICENSE NOTICE; \
        go run $SBOM bin -json -noserial -notimestamp -std -version $VERSION \
            -output /out/$image/usr/share/doc/resnet18cloud/resnet18cloud.cdx.json /out/$image/resnet18cloud; \
    done; mkdir /out/data; find /out -exec touch -d @0 {} +

# Replaced by --build-context mirror=DIR.
FROM scratch AS mirror

FROM build AS weights
ARG MODEL_MIRROR
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build \
    --mount=type=bind,from=mirror,target=/mirror \
    go run ./cmd/resnet18cloud model pull --out /out/weights/model/resnet18.safetensors && find /out/weights -exec touch -d @0 {} +

FROM scratch AS base
ARG VERSION=dev
LABEL org.opencontainers.image.source=https://github.com/resnet18cloud/resnet18cloud \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.licenses=Apache-2.0
USER 65532:65532
ENTRYPOINT ["/resnet18cloud"]

FROM base AS replica
LABEL org.opencontainers.image.title="ResNet18Cloud replica" \
      org.opencontainers.image.description="ResNet-18 image classification over HTTP"
# The weights come first: a new version of the program does not change their layer.
COPY --from=weights /out/weights /
COPY --from=build /out/replica /
ENV RESNET18_MODEL=/model/resnet18.safetensors
EXPOSE 5000
CMD ["replica"]

FROM base AS dispatcher
LABEL org.opencontainers.image.title="ResNet18Cloud dispatcher" \
      org.opencontainers.image.description="Accepts images over HTTP, queues them and sends them to replicas; also the autoscaler"
COPY --from=build /out/dispatcher /
# The volume of the queue gets its owner from this folder.
COPY --from=build --chown=65532:65532 /out/data /data
ENV RESNET18_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
CMD ["dispatcher"]
