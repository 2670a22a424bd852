# The program in an image of its own, without compilers, under a user of its own.
#
#   docker build -t alerttrail .
#   docker run --rm alerttrail --help
#
# State goes to /var/lib/alerttrail, a configuration is best mounted at /etc/alerttrail/alerttrail.toml. The first build takes 15 to 25 minutes
# on two cores, nearly all of it RocksDB's and librdkafka's C++; later builds find that done. It needs BuildKit, as Docker has since version 23.

FROM debian:trixie-slim AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /build
# scripts/setup knows which packages a build needs, and installs the Rust that rust-toolchain.toml pins: what is true there is true here.
COPY scripts/setup scripts/
COPY rust-toolchain.toml Cargo.toml ./
RUN scripts/setup && rm -rf /var/lib/apt/lists/*
COPY . .
# The program leaves the folder that is kept for the next build, for that is no part of the image.
RUN --mount=type=cache,target=/build/target,sharing=locked \
    --mount=type=cache,target=/root/.cargo/registry,sharing=locked \
    source scripts/setup && setup_build && \
    cargo build --release --locked --bin alerttrail && \
    cp target/release/alerttrail /usr/local/bin/alerttrail

FROM debian:trixie-slim
# OpenSSL, zlib and the C++ library are the system's (docs/security.md): build anew to have their updates.
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates libssl3t64 libstdc++6 zlib1g && \
    rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 alerttrail && \
    useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/alerttrail --shell /usr/sbin/nologin alerttrail && \
    install --directory --mode 0700 --owner alerttrail --group alerttrail /var/lib/alerttrail
COPY --from=build /usr/local/bin/alerttrail /usr/local/bin/alerttrail
# Fails the build when a library is missing.
RUN alerttrail --version

# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/alerttrail
# A volume for each container, as each instance needs a state of its own.
VOLUME /var/lib/alerttrail
EXPOSE 8686
# It stops on SIGTERM within 10 seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["alerttrail"]
CMD ["run", "--config", "/etc/alerttrail/alerttrail.toml"]
