# syntax=docker/dockerfile:1
#
# Two images of one static binary, with nothing else in them but certificates (and weights):
#
#   docker build --target dispatcher -t dispatcher:latest .
#   docker build --target replica -t resnet18-app:latest .
#
# The replica's image carries its weights, so that a new pod serves in a second and needs no network. They
# are torchvision's, fetched while building. Where the network is closed, name a folder with a models.json:
#
#   docker build --target replica --build-context mirror=DIR --build-arg MODEL_MIRROR=/mirror -t resnet18-app:latest .

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev COMMIT=
ENV CGO_ENABLED=0 GOCACHE=/go/build
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
        -o /out/resnet18cloud ./cmd/resnet18cloud
# The volume of the queue gets its owner from this folder.
RUN mkdir -p /out/data

# Replaced by --build-context mirror=DIR.
FROM scratch AS mirror

FROM build AS weights
ARG MODEL_MIRROR
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build \
    --mount=type=bind,from=mirror,target=/mirror \
    go run ./cmd/resnet18cloud model pull --out /out/model/resnet18.safetensors

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/resnet18cloud /resnet18cloud
USER 65532:65532
ENTRYPOINT ["/resnet18cloud"]

FROM base AS replica
COPY --from=weights /out/model /model
ENV RESNET18_MODEL=/model/resnet18.safetensors
EXPOSE 5000
CMD ["replica"]

FROM base AS dispatcher
COPY --from=build --chown=65532:65532 /out/data /data
ENV RESNET18_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
CMD ["dispatcher"]
