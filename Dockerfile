# syntax=docker/dockerfile:1
FROM node:24-alpine AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# Without scripts: the package `node` would fetch another Node. This image has one, which `cutover` finds in its place.
RUN npm ci --omit=dev --ignore-scripts && mkdir -p node_modules/node/bin \
  && ln -sf "$(command -v node)" node_modules/node/bin/node

FROM node:24-alpine
# On loopback, as without HOST, nobody outside the container would reach it.
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY bin bin
COPY db db
COPY cutover cutover
COPY plugins plugins
COPY src src
RUN ln -s /app/bin/cutover.js /usr/local/bin/cutover
# Where snapshots go by default: a volume there keeps them when the container goes.
RUN mkdir -p /app/.data/snapshots && chown node:node /app/.data/snapshots
USER node
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD case "$HOST" in 0.0.0.0) at=127.0.0.1;; ::) at=[::1];; *:*) at="[$HOST]";; *) at=$HOST;; esac; \
  wget -q -O /dev/null "http://$at:${PORT:-3000}/livez" || exit 1
CMD ["node", "src/server.ts"]
