package cli

import (
	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/planner"
	"headgate/rollout"
)

// flagsOf are the app's flags, and with --env those that rollouts and resets there published, which need no flags.yaml.
func (a *app) flagsOf(c *cli.Context) (cfg *config.Config, file *rollout.File, err error) {
	if c.String("env") == "" {
		return a.flags()
	}
	err = a.withControl(c, func(env config.Environment, db *control.DB) (err error) {
		file, err = a.rollouts(env, db).PublishedFile(c.Context)
		return err
	})
	return a.loaded, file, err
}

// rolloutGates are the events that the app's rollouts hold until their readers are there.
func (a *app) rolloutGates(cfg *config.Config, schemaName string) ([]planner.Gate, error) {
	names, err := rolloutNames(cfg)
	if err != nil {
		return nil, err
	}
	var out []planner.Gate
	for _, name := range names {
		def, err := rollout.ReadDefinition(rolloutPath(cfg, name))
		if err != nil {
			return nil, a.nearby(err)
		}
		s, err := cfg.Schema(def.Schema)
		if err != nil {
			return nil, errs.As(err).At("%s", a.rel(def.Path))
		}
		if s.Name != schemaName {
			continue
		}
		for _, event := range def.New() {
			out = append(out, planner.Gate{Event: event, By: a.rel(def.Path), LateReturners: -1})
		}
	}
	return out, nil
}
