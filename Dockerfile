# An httpd image with mod_jk. `make image` builds it; so does `docker build -t mod_jk .` (with both builders of Docker).
#
#   httpd     Debian's httpd with the module: what `docker build .` makes
#   official  the official httpd image (prefix /usr/local/apache2) with the module: docker build --target official .
#
# The order of the stages is meant: the classic builder works from the top down to the target.

# As in Cargo.toml.
ARG VERSION=1.3.0

FROM debian:bookworm-slim AS toolchain
# rustc-web is the newer Rust that Debian keeps for its browsers. It has no command of the plain name.
RUN apt-get update -q \
 && apt-get install -q -y --no-install-recommends apache2-dev ca-certificates cargo-web gcc libc6-dev libclang-dev rustc-web \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The wildcard makes the certificates optional.
COPY Cargo.toml Cargo.lock build.rs target/image/ca-certificates.cr[t] ./
COPY apache-headers apache-headers
# The dependencies alone, in a layer that lasts until one of them changes: the module is an empty file here.
# cargo wants every file that Cargo.toml names to be there, whatever is built of them.
RUN mkdir -p src tests && touch src/lib.rs tests/oracle.rs tests/container.rs \
 && sed -n 's/^path = "\(.*\)"$/\1/p' Cargo.toml | while read -r file; do mkdir -p "$(dirname "$file")" && touch "$file"; done \
 && if [ -f ca-certificates.crt ]; then export CARGO_HTTP_CAINFO=/build/ca-certificates.crt; fi \
 && cargo fetch --locked \
 && cargo build --release --locked --lib

FROM toolchain AS build
COPY src src
RUN touch src/lib.rs && cargo build --release --locked --offline --lib && install -D -m 0644 target/release/libmod_jk.so /out/mod_jk.so

FROM debian:bookworm-slim AS httpd
RUN apt-get update -q \
 && apt-get install -q -y --no-install-recommends apache2-bin media-types \
 && rm -rf /var/lib/apt/lists/*
# Everything that may be mounted over lies in conf; the rest belongs to the image. The logs go where the container's do: the link is
# for a mounted file that says logs/mod_jk.log. Any user of group 0 may write to logs, as platforms with users of their own want it.
RUN mkdir -p /srv/httpd/conf/conf.d /srv/httpd/htdocs /srv/httpd/logs \
 && ln -s /usr/lib/apache2/modules /srv/httpd/modules \
 && ln -s /proc/self/fd/1 /srv/httpd/logs/mod_jk.log \
 && chown www-data:root /srv/httpd/logs \
 && chmod 0775 /srv/httpd/logs
COPY conf/httpd-jk.conf conf/workers.properties conf/uriworkermap.properties conf/container/httpd.conf /srv/httpd/conf/
RUN sed -i 's#^JkLogFile .*#JkLogFile /proc/self/fd/1#' /srv/httpd/conf/httpd-jk.conf
COPY conf/container/httpd-health /usr/local/bin/
COPY --from=build /out/mod_jk.so /usr/lib/apache2/modules/
WORKDIR /srv/httpd
USER www-data
EXPOSE 8080
# OPTIONS * is answered by httpd itself, whatever is mounted and whether or not a Tomcat lives.
ENV HEALTH_PORT=8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["httpd-health"]
# Graceful stop: requests under way are finished (GracefulShutdownTimeout in httpd.conf says how long that may take).
STOPSIGNAL SIGWINCH
CMD ["apache2", "-d", "/srv/httpd", "-f", "conf/httpd.conf", "-D", "FOREGROUND"]
ARG VERSION
ARG SOURCE
ARG REVISION
LABEL org.opencontainers.image.title="httpd with mod_jk" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"

# The module once more, for the httpd of the official image: its headers and its apxs, which say the same of any Debian that
# the image may stand on.
FROM toolchain AS build-official
COPY --from=httpd:2.4 /usr/local/apache2 /usr/local/apache2
COPY src src
RUN touch src/lib.rs build.rs \
 && APXS=/usr/local/apache2/bin/apxs cargo build --release --locked --offline --lib \
 && install -D -m 0644 target/release/libmod_jk.so /out/mod_jk.so

FROM httpd:2.4 AS official
COPY conf/httpd-jk.conf conf/workers.properties conf/uriworkermap.properties /usr/local/apache2/conf/
COPY conf/container/httpd-health /usr/local/bin/
COPY --from=build-official /out/mod_jk.so /usr/local/apache2/modules/
# The official httpd.conf, with the sample of the module included, the port and files that need no root rights, and the graceful
# stop and quiet health check of the other image.
RUN cd /usr/local/apache2 \
 && sed -i -e 's/^Listen 80$/Listen 8080/' -e 's#^\( *CustomLog /proc/self/fd/1 common\)$#\1 env=!health#' conf/httpd.conf \
 && sed -i 's#^JkLogFile .*#JkLogFile /proc/self/fd/1#' conf/httpd-jk.conf \
 && printf '%s\n' 'ServerName localhost' 'PidFile logs/httpd.pid' 'GracefulShutdownTimeout 30' 'SetEnvIf Request_URI "^\*$" health' \
        'Include conf/httpd-jk.conf' 'IncludeOptional conf/conf.d/*.conf' >>conf/httpd.conf \
 && ln -sf /proc/self/fd/1 logs/mod_jk.log \
 && chown www-data:root logs \
 && chmod 0775 logs
USER www-data
EXPOSE 8080
ENV HEALTH_PORT=8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["httpd-health"]
STOPSIGNAL SIGWINCH
ARG VERSION
ARG SOURCE
ARG REVISION
LABEL org.opencontainers.image.title="official httpd with mod_jk" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"

# Without a target, this is the image.
FROM httpd
