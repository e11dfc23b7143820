package cli

import (
	"fmt"

	"headgate/cmd/headgate/internal/config"
)

// gateIncident holds back everything but the release that an open incident has proven; nil where none is open.
func (a *app) gateIncident(cfg *config.Config, s config.Schema, env, version string) (*gateLine, error) {
	i, err := a.openIncident(cfg, env)
	if i == nil || err != nil || i.Schema != s.Name {
		return nil, err
	}
	line := &gateLine{Schema: s.Name, What: "incident", next: "headgate rollback --env " + env}
	line.Why = fmt.Sprintf("%s is open, about %s; next in it: %s", i.ID, i.Selection, i.nextCommand())
	if i.Verified != "" && version == i.Verified {
		line.Open, line.Why = true, fmt.Sprintf("%s is open, and %s is the release that it verified", i.ID, version)
	}
	return line, nil
}
