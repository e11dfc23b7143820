package cli

import "io"

const configText = `headgate.yaml stands in the app's directory. headgate finds it from any directory below; --config or
HEADGATE_CONFIG names another file. Paths in it are relative to it. ${NAME} is replaced by the environment
variable, $${ is a literal ${. Unknown keys are errors. A flag wins over a HEADGATE_ variable, that over the file.
What only saves time is kept in .headgate/cache beside it, and compiled schemas in the user's own cache (HEADGATE_CACHE,
by default ~/.cache/headgate): both may be deleted.

    app: todo
    schemas:                        # an app may have several store kinds
      main:
        entry: src/livestore/schema.ts   # the module with makeSchema
        export: schema                   # default: schema
        adapters: [web, node]            # of web, node, expo, cloudflare
        queries: src/livestore/queries.ts  # optional: a module that exports query definitions
        gated: [v2.TodoCreated]          # optional: events that a flag holds until every reader is there
    releases: headgate/releases     # default; HEADGATE_RELEASES
    migrations: headgate/migrations # default; HEADGATE_MIGRATIONS
    environments:
      local:
        stores:
          - {id: demo, schema: main, log: "file:data/demo/eventlog@6.db"}   # or dump:PATH
        fleet:                      # which releases are out there
          horizon: 90d              # a client away for longer does not count
          alive:
            - {release: 1.0.0, share: 12%}
            - {release: 1.1.0, share: 88%}
      prod:
        log: sync-cf:https://sync.example.org   # of all stores that name none
        stores:
          - {id: team-1, schema: main, region: eu}
          - {id: team-2, schema: main, log: "postgres:postgres://headgate:${PGPASS}@db.internal/app"}
          - {id: team-3, schema: main, state: hold}   # of active, hold, deleted; default: active
          - {id: archive, schema: main, idle: true}   # no client writes to it: a migration needs no pace there
        auth:                       # what the app has as syncPayload: the same for all stores
          payload: {authToken: "${SYNC_TOKEN}"}
        admin: "${PROD_ADMIN_TOKEN}"   # default: ${HEADGATE_ADMIN_TOKEN}; the Worker's, read by headgate store reset only
        clients: ["api-*"]          # server-side clients: all that fit a pattern are one, whose last release counts
        pace: 500ms                 # default: the pause between two pushes to a store
        approvals: 2                # of a plan, by others than who applies it; default: 0
        control: "postgres://headgate:${PGPASS}@db.internal/ops"   # default: sqlite:.headgate/control.db
        server: https://headgate.example.org   # commands work through it, with the token in HEADGATE_TOKEN
        waves:                      # the order in which a migration takes the stores; the others come last
          - {name: canary, stores: [team-1, "test-*"], parallel: 1}
          - {name: europe, region: eu, share: 20%, on_error: continue}   # default: stop when over 2 % failed
          - {name: world, region: us, order: 9, depends_on: [canary]}     # default: the file's order, all before
    suppressions:                   # findings accepted for a while
      - {code: ST103, path: v1.TodoArchived, reason: "…", owner: ana, expires: 2027-03-31}

A store's log is one of

    file:PATH       a client's eventlog@6.db or its folder; appended to only while the client is stopped
    dump:PATH       what ` + "`livestore sync export`" + ` wrote: read only
    sync-cf:URL     @livestore/sync-cf: the http, https, ws or wss URL that the app has
    sync-cf+http:URL   the same over HTTP, for a network that lets no WebSocket through
    postgres:DSN    @livestore/sync-electric's table, DSN being postgres://USER:PASSWORD@HOST:PORT/DATABASE; the table
                    is the one that LiveStore gives the store, or #TABLE or #SCHEMA.TABLE behind the DSN

A sync backend is reached through HTTPS_PROXY where that is set; SSL_CERT_FILE names a CA of one's own.

sync-cf speaks over WebSockets, and the Worker's enabledTransports must have ws. sync-cf+http needs http there, and is the
slower one for a large store: @livestore/sync-cf 0.4 has no pages over HTTP, so each read has it prepare everything that
follows in one answer, for which a Durable Object has limits of time and memory (40,000 events took it 14 s). Nothing is
live: log tail --follow asks again and again. An onPush that looks at context.payload refuses every push over HTTP, where
0.4.0 leaves it empty: have it look at message.payload too.

What a migration appends to a client's log is pending until the client is online again. A copy of the log as it was, and
the client's state files, go to eventlog@6.db.headgate-TIME beside it: the client rebuilds its state on its next start.
headgate refuses a log that a client has open, and one of which that can't be seen (on Windows, and on macOS without lsof),
unless --force-closed says that all its clients are stopped. In another container or on another machine it sees none.

Instead of stores: an environment may name where they are listed: a file, a query of Postgres (which can't write), or a
command, which runs in headgate.yaml's directory and prints a JSON array of objects, or one object per line:

        inventory:                    # one of
          file: ops/stores.csv        # or .json, .jsonl, .yaml
          sql: {dsn: "postgres://headgate:${PGPASS}@db.internal/app", query: "SELECT tenant AS id, region FROM tenants"}
          command: [node, scripts/stores.mjs]

Each row has an id, and where they are needed schema, log, region, state and idle; other columns are errors. A schema may be
left out where the app has one, a log where the environment has one. There may be a million rows. headgate contacts no
store that is not listed, since reading one creates it on the backend, and none on hold or deleted.

Instead of auth.payload a command may give each store's payload, or a token may be signed for each:

        auth:                         # one of
          command: [node, scripts/sync-token.mjs]
          jwt:
            key: "${JWT_KEY}"         # or keyFile: PATH; a private key in PEM, for HS256 any text
            alg: HS256                # of HS256, RS256, ES256, EdDSA
            claims: {sub: headgate, store: "{store}"}   # {store} is the store's id; iat and exp are added
            ttl: 5m                   # default
            field: authToken          # default: the payload is {authToken: TOKEN}

The command runs in headgate.yaml's directory, has the store's id as its last argument and in HEADGATE_STORE, and prints
{"payload": {"authToken": "…"}, "expires": "2027-01-31T12:00:00Z"}. headgate uses that until shortly before it expires,
or for as long as it runs where "expires" is left out.

A store is in the first wave that takes it. Waves are taken by order, a number that is by default their place in the file,
each when those before have ended. Once any wave has depends_on, each begins when the waves that it names there have ended
well, those without it at once and side by side. A wave in which over 2 % of the stores fail begins no more of them, and
what depends on it does not begin, unless it says on_error: continue. Stores that no wave takes wait for all waves.

A probe may hold the migrations of an environment while its backend is busy:

        throttle:
          url: https://status.internal/ready   # 2xx goes on; 429 and 503 hold, for as long as Retry-After says
          # command: [./may-run.sh]            # or this: 0 goes on, another exit status holds
          every: 10s                           # default
          timeout: 5s                          # default
          on_error: hold                       # default; ignore: a probe that fails holds nothing

While it holds no store is begun, and those under way stand still between two batches. headgate status says so.

headgate serve may tell an address what happens, with a signature by a secret: headgate help webhook has its form.

        webhook:
          url: https://ops.example.org/headgate
          secret: "${HEADGATE_WEBHOOK_SECRET}"   # default: the variable's name; or secretFile: PATH
          events: [rollout.abort, stop, run]     # default: rollout, stop, run, incident, reset, floor

The secret is whsec_ and base64: echo whsec_$(openssl rand -base64 32). Of the audit's actions, events names groups (the word
before the dot) or single ones; beside those there are store, plan, log, lock, token, census and inventory.

server is the address of the environment's headgate serve. Commands about rollouts, runs, the floor, the census and the audit
work through it, as with --server URL or HEADGATE_SERVER; --server none means the control database itself. Where control is
not named, commands that need the control database ask for that.

approvals says how many others must have approved a plan (headgate plan approve) before somebody applies it: headgate apply
and headgate migration up end with 4 until then, and begin nothing that is not in a plan. HEADGATE_ACTOR says who one is, or
else USER: it is a rule for people who trust each other, and whoever can write the control database can go around it.

control is the database that keeps runs with the migrations and releases that they
need, locks, the census, approvals and the audit; the event logs stay the truth about what was
committed. sqlite:PATH is a file on one machine. With Postgres several machines work together; the tables lie in a schema
headgate of their own, which headgate makes, or in the one that ?search_path=SCHEMA names. Environments may share one.
`

func configTopic() topic {
	return topic{
		name:  "config",
		about: "what stands in headgate.yaml",
		render: func(_ *app, w io.Writer, _ []string) error {
			_, err := io.WriteString(w, configText)
			return err
		},
	}
}
