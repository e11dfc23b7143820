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
func (a *app) flagsOf(c *cli.Context) (*config.Config, *rollout.File, error) {
	cfg, file, err := a.flags()
	if c.String("env") == "" || err != nil && errs.CodeOf(err) != errs.NotFound {
		return cfg, file, err
	}
	missing := err
	if file == nil {
		cfg = a.loaded
		if cfg == nil {
			return nil, nil, missing
		}
		file = &rollout.File{Path: flagsPath(cfg)}
	}
	err = a.withControl(c, func(env config.Environment, db *control.DB) error {
		published, err := db.PublishedFlags(c.Context, env.Name)
		if err != nil {
			return err
		}
		if len(published) == 0 && missing != nil {
			return missing
		}
		for _, f := range published {
			if other, there := file.Flag(f.Key); there {
				return errs.New(errs.Findings, "RO101: %s is published by the rollout %s too", f.Key, f.Rollout).At("%s:%d", a.rel(file.Path), other.Line).
					Hintf("remove it from the file: the rollout says who gets it").Then("headgate rollout check " + f.Rollout + " --env " + env.Name)
			}
			file.Flags = append(file.Flags, f)
		}
		return nil
	})
	return cfg, file, err
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
