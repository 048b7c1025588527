# Builds the binary and puts it, and nothing else, on a small base without a shell.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential perl && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --release --locked && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/release/slipway /usr/local/bin/slipway
# The database and the key file live in the volume; everything else may be read-only.
COPY --from=build --chown=nonroot:nonroot /data /data
VOLUME /data
WORKDIR /data
ENV SLIPWAY_LISTEN=0.0.0.0:8080 \
    DATABASE_URL=sqlite:/data/slipway.db \
    SLIPWAY_KEY_FILE=/data/slipway.key
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/slipway"]
CMD ["serve"]
