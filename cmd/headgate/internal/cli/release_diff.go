package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

func (a *app) releaseDiffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "list what changed between two releases",
		ArgsUsage: "RELEASE [RELEASE]",
		UsageText: "headgate release diff 1.3.0 1.4.0\n" +
			"headgate release diff 1.4.0 --working-tree",
		Description: "Lists the changes without judging them; `headgate check` says what they break.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.BoolFlag{Name: "working-tree", Usage: "compare with the code as it lies here"},
		},
		Action: a.releaseDiff,
	}
}

func (a *app) releaseDiff(c *cli.Context) error {
	if (c.Args().Len() == 2) == c.Bool("working-tree") {
		return errs.Invalidf("name two releases, or one release and --working-tree").Then("headgate release list")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := cfg.Schema(c.String("schema"))
	if err != nil {
		return err
	}
	old, err := releaseDir(cfg).Load(s.Name, c.Args().Get(0))
	if err != nil {
		return err
	}
	now, err := a.secondRelease(c.Context, cfg, s, c.Args().Get(1))
	if err != nil {
		return err
	}
	earlier, err := earlierThan(cfg, s, old)
	if err != nil {
		return err
	}
	changes, code := planner.Diff(old, now, earlier), changedCode(old, now)
	return a.render(map[string]any{"from": old.Version, "to": now.Version, "changes": changes, "code": code}, func(w io.Writer) error {
		if len(changes)+len(code) == 0 {
			fmt.Fprintf(w, "nothing changed between %s and %s\n", nameOf(old), nameOf(now))
			return nil
		}
		rows := [][]string{{"WHERE", "WHAT", "DETAIL"}}
		for _, ch := range changes {
			where := ch.Event + ch.Table
			if ch.Path != "" {
				where += " " + ch.Path
			}
			rows = append(rows, []string{where, string(ch.Kind), ch.Note})
		}
		for _, m := range code {
			detail := "in " + strings.Join(m.Files, " ")
			if m.Scope == "modules" {
				detail = "perhaps: its own code could not be told apart, some module of the schema changed"
			}
			rows = append(rows, []string{m.Event, "materializer's code changed", detail})
		}
		return table(w, rows)
	})
}

// A codeChange is a materializer whose code, imported helpers included, is another one.
type codeChange struct {
	Event string   `json:"event"`
	Scope string   `json:"scope"` // as in a release's source
	Files []string `json:"files"`
}

// changedCode lists the materializers of both releases whose code changed. Whether they do something else is what
// check finds out by running them.
func changedCode(old, now *schema.Release) []codeChange {
	out := []codeChange{}
	for _, n := range now.Materializers {
		if o, ok := old.Materializer(n.Event); ok && o.Source.Digest != n.Source.Digest {
			out = append(out, codeChange{n.Event, n.Source.Scope, n.Source.Files})
		}
	}
	return out
}

func (a *app) secondRelease(ctx context.Context, cfg *config.Config, s config.Schema, version string) (*schema.Release, error) {
	if version == "" {
		b, err := a.evaluate(ctx, cfg, s, cfg.Dir, workingTree)
		return b.Release, err
	}
	return releaseDir(cfg).Load(s.Name, version)
}

// earlierThan are the recorded releases before r, lowest first.
func earlierThan(cfg *config.Config, s config.Schema, r *schema.Release) ([]*schema.Release, error) {
	all, err := releaseDir(cfg).LoadAll(s.Name)
	if err != nil {
		return nil, err
	}
	var out []*schema.Release
	for _, x := range all {
		if schema.CompareVersions(x.Version, r.Version) < 0 {
			out = append(out, x)
		}
	}
	return out, nil
}
