package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/cmd/headgate/internal/server"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

func (a *app) serveCommand() *cli.Command {
	return &cli.Command{
		Name:     "serve",
		Category: plumbing,
		Usage:    "answer the app's questions for flags, and an API, over HTTP",
		UsageText: "headgate serve --env prod\nheadgate serve --env prod --work\n" +
			"headgate serve --env prod --listen 0.0.0.0:7431 --tls-cert cert.pem --tls-key key.pem",
		Description: `The app asks for flags with any OpenFeature client for OFREP (/ofrep/v1), and hears of a change within a second. Under /v1
is what the command line does with the environment: GET /v1/openapi.json describes it. /healthz and /readyz are for whoever
watches the server, /metrics is for Prometheus.

Every request but those for /healthz, /readyz and the description needs a token: headgate token create. The server listens on
this machine alone unless --listen says otherwise, and on other addresses with TLS only. Commands work through it with
--server URL, or with server: URL in headgate.yaml, and the token in HEADGATE_TOKEN.

headgate/flags.yaml is read again when it changes; one that is broken leaves the last good flags in force, which the log and
/readyz say. What rollouts publish takes the place of flags of the same key.

The server moves the rollouts, as headgate rollout tick does, and opens the stores of a reset; of several on one control
database, one at a time. The sync
backend reports to /v1/reports and the app to /v1/telemetry who is out there. OpenTelemetry exporters send LiveStore's spans
to /v1/traces, as OTLP over HTTP with any token but a viewer's, operator's or approver's; the resource's attributes
headgate.storeId, headgate.schema and service.version say whose they are. headgate help rollout-file lists what comes of that.
What is sent again, because its answer was lost, counts once, whichever server of the control database gets it: a batch by its
name, within a day, and spans by their bytes, within a quarter of an hour.

Where headgate.yaml has webhook: for the environment, the server tells that address what happens: headgate help webhook.

A Worker or an app that is newer than the server may tell of more than it knows: it takes what it does know, and counts the
rest (headgate_observations_foreign_total). Upgrade the servers first all the same.

With --work the server takes part in the runs of migrations, as headgate worker does. SIGTERM ends it: what is under way
ends first, for ten seconds at most.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "listen", Usage: "listen on `HOST:PORT`", Value: "127.0.0.1:7431"},
			&cli.StringFlag{Name: "tls-cert", Usage: "the certificate and its chain in `FILE`"},
			&cli.StringFlag{Name: "tls-key", Usage: "its key in `FILE`"},
			&cli.BoolFlag{Name: "insecure-http", Usage: "allow other addresses without TLS: something in front of the server has it"},
			&cli.BoolFlag{Name: "insecure-no-auth", Usage: "ask for no tokens; on this machine only"},
			&cli.IntFlag{Name: "rate", Usage: "let an address ask for flags `N` times a second", Value: 1000},
			&cli.StringFlag{Name: "tick", Usage: "move the rollouts and a reset once in `DURATION`, 0s for never", Value: "10s"},
			&cli.BoolFlag{Name: "work", Usage: "work on runs of migrations, too"},
			&cli.IntFlag{Name: "jobs", Usage: "work on `N` stores at a time; as many as there are processors by default"},
		},
		Action: a.serve,
	}
}

func (a *app) serve(c *cli.Context) error {
	switch {
	case c.IsSet("jobs") && c.Int("jobs") < 1:
		return errs.Invalidf("--jobs %d is not above 0", c.Int("jobs"))
	case c.IsSet("jobs") && !c.Bool("work"):
		return errs.Invalidf("--jobs is for --work")
	case c.Int("rate") < 1:
		return errs.Invalidf("--rate %d is not above 0", c.Int("rate"))
	}
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		every, err := config.ParseDuration(c.String("tick"))
		if err != nil {
			return errs.Invalidf("--tick: %q is not a duration", c.String("tick")).Hintf("write a number and a unit: 10s, 1m; 0s for never")
		}
		rollouts := a.served(env, db)
		rollouts.Ticking = every > 0
		o := server.Options{
			Operate: rollouts, App: a.loaded.App, Version: buildVersion().Version,
			Flags:  server.FlagFile{Read: rollouts.Flags, Stamp: func() string { return stamp(flagsPath(a.loaded)) }},
			Listen: c.String("listen"), RatePerSecond: c.Int("rate"),
			InsecureHTTP: c.Bool("insecure-http"), NoAuth: c.Bool("insecure-no-auth"),
			Ready: func(url string) { fmt.Fprintf(a.stderr, "serving %s of %s on %s\n", env.Name, a.loaded.App, url) },
			Log:   a.log,
		}
		if c.IsSet("tls-cert") || c.IsSet("tls-key") {
			o.Cert, o.Key = a.absIfSet(c.String("tls-cert")), a.absIfSet(c.String("tls-key"))
		}
		if o.Webhook, err = a.sender(env, db); err != nil {
			return err
		}
		if c.Bool("work") {
			r, err := a.newRunner(c.Context, a.loaded, env, nil, c.Int("jobs"))
			if err != nil {
				return err
			}
			r.worker = true
			o.Work = func(ctx context.Context) error {
				err := r.fleet(db).Work(ctx)
				if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) { // that is how it ends
					return nil
				}
				return err
			}
		}
		if o.TickEvery = every; every > 0 {
			o.Lead = operate.Leader{Environment: rollouts.Environment}.Lead
			o.Tick = func(ctx context.Context) error {
				a.inventories.forget(env.Name)
				_, opening := rollouts.OpenReset(ctx)
				moved, err := rollouts.Tick(ctx, false)
				for _, r := range moved {
					if len(r.Reasons) > 0 {
						a.log.Info("moved a rollout", "rollout", r.Rollout, "phase", r.Phase, "step", r.Step, "opened", r.Opened, "reasons", r.Reasons)
					}
				}
				return errors.Join(err, opening)
			}
		}
		err = server.Run(c.Context, o)
		if err == nil {
			fmt.Fprintln(a.stderr, "stopped")
		}
		return err
	})
}

// The server answers by an inventory that is so old at most, and reads logs for so long for one answer.
const (
	inventoryAge = 10 * time.Second
	countTime    = 20 * time.Second
)

// served are an environment's rollouts as the server has them: for a long time, for many at once, and for whoever has no
// business with where the app's files are.
func (a *app) served(env config.Environment, db *control.DB) operate.Rollouts {
	r := a.rollouts(env, db)
	stores := r.Inventory
	r.Inventory = func(ctx context.Context) ([]config.Store, error) {
		a.inventories.forgetOld(a.now().Add(-inventoryAge))
		return stores(ctx)
	}
	toReset := r.ToReset
	r.ToReset = func(ctx context.Context, ask operate.ResetAsk) ([]livestore.StoreID, error) {
		a.inventories.forgetOld(a.now().Add(-inventoryAge))
		return toReset(ctx, ask)
	}
	r.Place = func(path string) string {
		if rel, err := filepath.Rel(a.loaded.Dir, path); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
		return filepath.Base(path)
	}
	r.Where = fmt.Sprintf("%s:%d", r.Place(a.loaded.Path), env.Line)
	r.CountTime = countTime
	r.Counting = func() (func(), func()) { return func() {}, func() {} }
	return r
}

// stamp is another one when a file may have changed.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "none"
	}
	return fmt.Sprint(info.Size(), ".", info.ModTime().UnixNano())
}

// absIfSet is a path as it was typed, "" for none.
func (a *app) absIfSet(path string) string {
	if path == "" {
		return ""
	}
	return a.abs(path)
}
