package cli

import "io"

const configText = `headgate.yaml stands in the app's directory. headgate finds it from any directory below; --config or
HEADGATE_CONFIG names another file. Paths in it are relative to it. ${NAME} is replaced by the environment
variable, $${ is a literal ${. Unknown keys are errors. A flag wins over a HEADGATE_ variable, that over the file.

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
          - {id: team-1, schema: main}
          - {id: team-2, schema: main, log: "postgres:postgres://headgate:${PGPASS}@db.internal/app"}
        auth:                       # what the app has as syncPayload: the same for all stores
          payload: {authToken: "${SYNC_TOKEN}"}
        pace: 500ms                 # default: the pause between two pushes to a store
    suppressions:                   # findings accepted for a while
      - {code: ST103, path: v1.TodoArchived, reason: "…", owner: ana, expires: 2027-03-31}

A store's log is one of

    file:PATH       a client's eventlog@6.db or its folder: read only
    dump:PATH       what ` + "`livestore sync export`" + ` wrote: read only
    sync-cf:URL     @livestore/sync-cf: the http, https, ws or wss URL that the app has
    postgres:DSN    @livestore/sync-electric's table, DSN being postgres://USER:PASSWORD@HOST:PORT/DATABASE; the table
                    is the one that LiveStore gives the store, or #TABLE or #SCHEMA.TABLE behind the DSN

Instead of auth.payload a command may give each store's payload:

        auth:
          command: [node, scripts/sync-token.mjs]

It runs in headgate.yaml's directory, with the store's id as its last argument and in HEADGATE_STORE, and prints
{"payload": {"authToken": "…"}, "expires": "2027-01-31T12:00:00Z"}. headgate uses that until shortly before it expires,
or for as long as it runs where "expires" is left out.
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
