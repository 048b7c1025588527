# syntax=docker/dockerfile:1
# Builds the binary and puts it, and nothing else, on a small base without a shell.
FROM rust:1.95-slim-bookworm AS build
# What Debian has today is what is wanted, security fixes included.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends build-essential perl && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# The dependencies first, in a layer of their own: it is built again only when they change.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
# Twice the time to build, for lists that take a tenth less.
ENV CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
RUN for file in src/main.rs src/lib.rs $(sed -n 's/^path = "\(.*\)"/\1/p' Cargo.toml); do \
      mkdir -p "$(dirname "$file")" && echo 'fn main() {}' > "$file" || exit 1; \
    done && cargo build --release --locked
COPY migrations migrations
COPY src src
RUN touch src/main.rs src/lib.rs && cargo build --release --locked && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Slipway" \
      org.opencontainers.image.description="An ITIL release-management service: a JSON REST API with an OpenAPI contract" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /source/target/release/slipway /usr/local/bin/slipway
# The database, the key file and documents live in the volume; everything else may be read-only.
COPY --from=build --chown=65532:65532 /data /data
VOLUME /data
WORKDIR /data
USER 65532:65532
ENV SLIPWAY_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/slipway", "health"]
ENTRYPOINT ["/usr/local/bin/slipway"]
CMD ["serve"]
