package cli

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
)

// existingControl opens an environment's control database where there is one already, and returns nil where there is
// none, or where a server has it: one that lies here is of another time. The caller closes it.
func (a *app) existingControl(ctx context.Context, env config.Environment) (*control.DB, error) {
	if a.needsControl(env) != nil {
		a.log.Warn("the runs are not looked at: the control database is the server's", "server", a.serverOf(env))
		return nil, nil
	}
	db, err := a.openedControl(ctx, control.Options{URL: env.Control, Existing: true, Now: a.now})
	if errs.CodeOf(err) == errs.NotFound {
		return nil, nil
	}
	return db, err
}

// openControl opens an environment's control database, and makes it where there is none. The caller closes it.
func (a *app) openControl(ctx context.Context, env config.Environment) (*control.DB, error) {
	if err := a.needsControl(env); err != nil {
		return nil, err
	}
	return a.openedControl(ctx, control.Options{URL: env.Control, Now: a.now})
}

func (a *app) openedControl(ctx context.Context, opt control.Options) (*control.DB, error) {
	db, err := control.Open(ctx, opt)
	if err != nil {
		return nil, a.nearby(err)
	}
	a.log.Debug("opened the control database", "place", db.Place())
	return db, nil
}

// defaultHorizon is how long a client may be away and still count, where headgate.yaml does not say.
const defaultHorizon = 90 * 24 * time.Hour

// known hands work what knows an environment: its server, or its control database. Where there is none yet, nobody does, and work
// is not called. A server that does not answer, or is of an earlier headgate and has no such route, ends no command: what it
// goes on without is said.
func (a *app) known(ctx context.Context, env config.Environment, what string, work func(operations) error) (err error) {
	if a.needsControl(env) != nil {
		err := a.withOperationsOf(ctx, env, work)
		switch {
		case errs.Passing(err):
			a.log.Warn("the server does not answer: this goes on without "+what, "server", a.serverOf(env))
		case errs.CodeOf(err) == errs.NotFound:
			a.log.Warn("the server is of an earlier headgate: this goes on without "+what, "server", a.serverOf(env))
		default:
			return err
		}
		return nil
	}
	db, err := a.existingControl(ctx, env)
	if db == nil || err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return work(a.rollouts(env, db))
}

// censusOf are the releases that the last census saw within the horizon, 90 days where headgate.yaml names none. A client
// that did not say its release counts as one of a release that nobody recorded.
func (a *app) censusOf(ctx context.Context, env config.Environment) (alive []config.Alive, err error) {
	err = a.known(ctx, env, "the census", func(ops operations) error {
		census, err := ops.Census(ctx, cmp.Or(env.Fleet.Horizon, defaultHorizon))
		for _, r := range census.Releases {
			alive = append(alive, config.Alive{Release: r.Release, Line: env.Line})
		}
		return err
	})
	return alive, err
}

// withControl hands work the environment that --env names, and its control database.
func (a *app) withControl(c *cli.Context, work func(config.Environment, *control.DB) error) (err error) {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	env, err := cfg.Environment(c.String("env"))
	if err != nil {
		return err
	}
	db, err := a.openControl(c.Context, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return a.nearby(work(env, db))
}

// operate is what the server does, too. The configuration must be loaded.
func (a *app) operate(env config.Environment, db *control.DB) operate.Environment {
	var held func(context.Context) string
	if p := a.probe(a.loaded, env); p != nil {
		held = p.Held
	}
	return operate.Environment{
		DB: db, Name: env.Name, Horizon: env.Fleet.Horizon, Others: env.Approvals > 0, Now: a.now, Log: a.log, Owner: ownerName(randomHex(4)), Alive: ownerAlive,
		Migrations: func(ctx context.Context) ([]string, error) {
			var names []string
			defs, err := a.definitions(ctx, a.loaded, "")
			for _, d := range defs {
				names = append(names, d.Name)
			}
			return names, err
		},
		Migration: func(ctx context.Context, typed string) (string, error) {
			defs, err := a.definitions(ctx, a.loaded, typed)
			if err != nil {
				return "", err
			}
			return defs[0].Name, nil
		},
		Held: held, HasWebhook: env.Webhook.Line != 0,
		ForgetStates: func(store string) error { return forgetStates(a.loaded, store) },
	}
}

// reasonOf is what --reason says, in one line.
func reasonOf(c *cli.Context) string { return oneLine(c.String("reason")) }

// neededReason is reasonOf where one is required; say says what of.
func (a *app) neededReason(c *cli.Context, say string) (string, error) {
	reason := reasonOf(c)
	if reason == "" {
		return "", errs.Invalidf("--reason is missing").Hintf("%s", say).Then(a.line + ` --reason "…"`)
	}
	return reason, nil
}

// by says who acts, for the audit: HEADGATE_ACTOR, or else the user's name.
func (a *app) by(reason string) control.By {
	for _, name := range []string{"HEADGATE_ACTOR", "USER"} {
		if v, ok := a.lookupEnv(name); ok && strings.TrimSpace(v) != "" {
			return control.By{Actor: strings.TrimSpace(v), Reason: reason}
		}
	}
	return control.By{Actor: "unknown", Reason: reason}
}
