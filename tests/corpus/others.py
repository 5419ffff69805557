"""Files of other formats than that of nginx, in shapes that are met in public; written for tests.

Files of one format are parted by a line `---`, and a comment at the top of each names it.
"""

from __future__ import annotations

UNITS = r"""
# node, from a tutorial
[Unit]
Description=My Node app
After=network.target
[Service]
ExecStart=/usr/bin/node /var/www/app/server.js
Restart=always
User=nobody
Group=nogroup
Environment=PATH=/usr/bin:/usr/local/bin
Environment=NODE_ENV=production
WorkingDirectory=/var/www/app
[Install]
WantedBy=multi-user.target
---
# gunicorn with a socket
[Unit]
Requires=gunicorn.socket
[Service]
Type=notify
RuntimeDirectory=gunicorn
WorkingDirectory=/home/a/shop
ExecStart=/home/a/venv/bin/gunicorn --workers 3 --bind unix:/run/g.sock shop.wsgi
ExecReload=/bin/kill -s HUP $MAINPID
KillMode=mixed
TimeoutStopSec=5
PrivateTmp=true
---
# uvicorn
[Service]
User=www-data
ExecStart=/srv/api/.venv/bin/uvicorn main:app --host 0.0.0.0 --port 8000 --proxy-headers
Restart=on-failure
RestartSec=5s
StandardOutput=journal
StandardError=append:/var/log/api.err
---
# puma
[Service]
Type=notify
WatchdogSec=10
WorkingDirectory=/srv/rails/current
ExecStart=/usr/local/bin/bundle exec puma -C config/puma.rb -b tcp://0.0.0.0:9292
Restart=always
EnvironmentFile=/srv/rails/.env
---
# spring boot
[Unit]
After=syslog.target
[Service]
User=spring
ExecStart=/usr/bin/java -Xmx512m -Dserver.port=8080 -jar /srv/shop.jar
SuccessExitStatus=143
TimeoutStopSec=30
---
# a go program with its hardening
[Service]
ExecStart=/usr/local/bin/shop -listen :8080
DynamicUser=yes
NoNewPrivileges=yes
ProtectSystem=strict
AmbientCapabilities=CAP_NET_BIND_SERVICE
LimitNOFILE=1048576
MemoryMax=2G
CPUQuota=50%
Restart=always
---
# pm2's own
[Unit]
Description=PM2 process manager
[Service]
Type=forking
User=root
LimitNOFILE=infinity
Environment=PM2_HOME=/root/.pm2
PIDFile=/root/.pm2/pm2.pid
Restart=on-failure
ExecStart=/usr/lib/node_modules/pm2/bin/pm2 resurrect
ExecReload=/usr/lib/node_modules/pm2/bin/pm2 reload all
ExecStop=/usr/lib/node_modules/pm2/bin/pm2 kill
---
# a shell and quotes
[Service]
ExecStartPre=/bin/sh -c 'test -f /srv/a.conf'
ExecStart=/bin/sh -c "exec /srv/a --name 'my shop' >> /var/log/a.log 2>&1"
Environment="A=1 2" 'B="x"' C=a%%b
Restart=always
KillSignal=SIGINT
SyslogIdentifier=a
---
# a job
[Service]
Type=oneshot
ExecStart=/usr/local/bin/backup --all
Nice=19
---
# celery
[Service]
Type=forking
EnvironmentFile=/etc/conf.d/celery
ExecStart=/bin/sh -c '${CELERY_BIN} -A $CELERY_APP multi start'
RuntimeMaxSec=1d
StartLimitBurst=5
StartLimitIntervalSec=60
UMask=0007
---
# continued lines
[Service]
ExecStart=/usr/bin/node \
  # with much memory
  --max-old-space-size=4096 \
  /srv/a.js --port=4000
Restart=always
""".strip().split("\n---\n")

PROCFILES = """
# rails
web: bundle exec puma -C config/puma.rb
worker: bundle exec sidekiq -c 5
release: bin/rails db:migrate
---
# node
web: node --optimize_for_size server.js
---
# django
web: gunicorn shop.wsgi --log-file -
beat: celery -A shop beat
worker: celery -A shop worker -l info
---
# java
web: java $JAVA_OPTS -jar target/shop.jar --server.port=$PORT
---
# go
web: bin/shop
---
# development
web: PORT=3000 bin/rails server
js: yarn build --watch
css: tailwindcss -i ./a.css -o ./b.css --watch
---
# two that listen
web: npm start
api: uvicorn api:app --host 0.0.0.0 --port ${PORT:-8000}
---
# a shell
worker: while true; do ./poll; sleep 5; done
---
# streamlit
web: sh setup.sh && streamlit run app.py --server.port $PORT
---
# a clock
clock: python clock.py
""".strip().split("\n---\n")

CRONTABS = """
# certbot by hand
0 12 * * * /usr/bin/certbot renew --quiet
---
# twice a day with a delay
0 0,12 * * * root sleep $((RANDOM % 3600)) && certbot renew -q
---
# acme.sh
17 0 * * * "/root/.acme.sh"/acme.sh --cron --home "/root/.acme.sh" > /dev/null
---
# stop and start
0 3 1 * * service nginx stop; certbot renew; service nginx start
---
# dehydrated
@weekly /usr/local/bin/dehydrated -c && systemctl reload nginx
---
# lego
MAILTO=ops@example.com
30 2 * * * /usr/bin/lego --email a@b.test -d a.test --http renew --days 30
---
# jobs
*/5 * * * * cd /srv/app && php artisan schedule:run >> /dev/null 2>&1
0 4 * * sun pg_dump shop | gzip > /backup/shop.gz
---
# pm2 at boot
@reboot cd /srv/app && pm2 start ecosystem.config.js
---
# names
0 0 1 jan mon /usr/bin/true
---
# certonly
0 0 1 */2 * certbot certonly --standalone -d a.test --force-renewal
""".strip().split("\n---\n")

COMPOSES = """
# node with a database
services:
  web:
    build: .
    command: npm start
    ports: ["3000:3000"]
    environment: {NODE_ENV: production, DATABASE_URL: "postgres://db/shop"}
    depends_on: [db]
  db:
    image: postgres:16
    volumes: ["data:/var/lib/postgresql/data"]
volumes: {data: {}}
---
# a mounted folder
version: "3.8"
services:
  app:
    image: node:20
    working_dir: /usr/src/app
    volumes: ["./:/usr/src/app"]
    command: sh -c "npm install && node server.js"
    ports: ["8080:8080"]
    restart: always
---
# django
services:
  web:
    build: {context: ./web, dockerfile: Dockerfile.prod}
    command: gunicorn shop.wsgi:application --bind 0.0.0.0:8000
    env_file: [.env.prod]
    expose: [8000]
    restart: unless-stopped
  worker:
    build: ./web
    command: celery -A shop worker
    depends_on: {web: {condition: service_started}}
---
# replicas
services:
  api:
    build: .
    command: ["python", "-m", "api", "--port", "9000"]
    deploy: {replicas: 4, resources: {limits: {memory: 256M}}}
    healthcheck: {test: ["CMD", "curl", "-f", "http://localhost:9000"]}
    stop_signal: SIGINT
    stop_grace_period: 1m
---
# nothing but images
services:
  nginx:
    image: nginx:alpine
    ports: ["80:80", "443:443"]
  redis: {image: "redis:7"}
---
# variables
services:
  web:
    build: "."
    command: run --port ${PORT:-4000}
    user: "1000:1000"
    networks: [front]
networks: {front: {}}
---
# long syntax
services:
  web:
    build: .
    entrypoint: ["/usr/bin/node"]
    command: ["server.js"]
    ports: [{target: 3000, published: 8080, protocol: tcp}]
    volumes: [{type: bind, source: ./, target: /app}]
    logging: {driver: none}
    restart: "on-failure:5"
---
# ranges
services:
  web:
    build: .
    command: ./web
    ports: ["3000-3005:3000-3005", "53:53/udp"]
    mem_limit: 1g
---
# anchors
x-base: &base {build: ., restart: always}
services:
  web: {<<: *base, command: "node web.js"}
  jobs: {<<: *base, command: "node jobs.js"}
---
# of another type
services: {web: {build: {}, command: 3, environment: [A, B=1], ports: 80, deploy: []}}
""".strip().split("\n---\n")

CADDYFILES = """
# one line
example.com
reverse_proxy localhost:3000
---
# a site of files
example.com {
    root * /var/www/html
    encode gzip
    file_server
}
---
# a single-page application with an API
app.example.com {
    handle /api/* {
        reverse_proxy localhost:8000
    }
    handle {
        root * /srv/dist
        try_files {path} /index.html
        file_server
    }
}
---
# www
www.example.com {
    redir https://example.com{uri} permanent
}
example.com {
    reverse_proxy 127.0.0.1:5000
}
---
# balanced
example.com {
    reverse_proxy node1:80 node2:80 node3:80 {
        lb_policy least_conn
        health_uri /healthz
        health_interval 10s
    }
}
---
# php
example.com {
    root * /srv/wordpress
    php_fastcgi unix//run/php/php-fpm.sock
    file_server
}
---
# a login
{
    email admin@example.com
}
private.example.com {
    basicauth /admin/* {
        bob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT
    }
    reverse_proxy :8080
    header {
        X-Frame-Options DENY
        -Server
    }
    log {
        output file /var/log/caddy/private.log
    }
}
---
# websockets and headers
ws.example.com {
    @ws {
        header Connection *Upgrade*
        header Upgrade websocket
    }
    reverse_proxy @ws localhost:6001
    reverse_proxy localhost:6000 {
        header_up X-Real-IP {remote_host}
        header_up X-Tenant shop
    }
}
---
# local
localhost, *.localhost:8443 {
    tls internal
    respond "hello"
    reverse_proxy localhost:9
}
---
# snippets
(tls) {
    tls /etc/a.pem /etc/a.key
    header X-Of {args[0]}
}
a.example.com {
    import tls a
    reverse_proxy localhost:1
}
b.example.com {
    import tls b
    handle_path /static/* {
        root * /srv/static
        file_server browse
    }
    reverse_proxy localhost:2
}
---
# plain
:80 {
    reverse_proxy localhost:3000
}
---
# wildcards and DNS
*.example.com {
    tls {
        dns cloudflare {env.TOKEN}
    }
    @foo host foo.example.com
    handle @foo {
        reverse_proxy foo:80
    }
    request_body {
        max_size 10MB
    }
    reverse_proxy /old/* https://10.0.0.1
    reverse_proxy 10.0.0.1:80
    rewrite /old /new
}
""".strip().split("\n---\n")

GREENLOCKS = [
    {"sites": [{"subject": "a.test", "altnames": ["a.test"]}]},
    {"sites": [{"subject": "a.test", "altnames": ["a.test", "*.a.test"]}], "defaults": {}},
    {"sites": [{"subject": "a.test", "renewAt": 1, "renewOffset": "-30d"}]},
    {"sites": [], "defaults": {"subscriberEmail": "a@b.test", "agreeToTerms": True}},
    {"sites": [{"subject": "a.test"}], "defaults": {"serverKeyType": "P-256"}},
    {"sites": [{"subject": "a.test"}], "defaults": {"serverKeyType": "ed25519"}},
    {"sites": [{"subject": "a.test"}], "defaults": {"challenges": {"http-01": {"module": "m"}}}},
    {"sites": [{"subject": "a.test", "challenges": {"dns-01": {"module": "m", "token": "t"}}}]},
    {"sites": [{"altnames": ["b.test"]}, {"deletedAt": 1}, 3]},
    {"sites": [{"subject": "a.test", "customerEmail": "c@d.test"}], "defaults": {"store": {}}},
]
