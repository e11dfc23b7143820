package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
	"headgate/rollout"
)

func (a *app) censusCommand() *cli.Command {
	return &cli.Command{
		Name:      "census",
		Category:  plumbing,
		Usage:     "which releases the clients of an environment run",
		UsageText: "headgate census --env prod\nheadgate census --env prod --since 30d --format json\nheadgate census import clients.csv --env prod",
		Description: `Counts the clients that the sync backend, the app or ` + "`headgate census import`" + ` said were seen within fleet.horizon
of headgate.yaml, or within --since, by the release that they ran. A client is an installation as LiveStore knows it: it counts
once per store.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "since", Usage: "no further back than `DURATION`, as in 12h or 90d"},
		},
		Subcommands: []*cli.Command{a.censusImportCommand()},
		Action:      a.census,
	}
}

func (a *app) census(c *cli.Context) error {
	within, err := duration(c, "since")
	if err != nil {
		return err
	}
	return a.withOperations(c, func(ops operations) error {
		r, err := ops.Census(c.Context, within)
		if err != nil {
			return err
		}
		return a.render(r, func(w io.Writer) error { return writeCensus(w, r) })
	})
}

func writeCensus(w io.Writer, r operate.Census) error {
	for _, next := range r.NextActions {
		_, err := fmt.Fprintf(w, "no client of %s is known\n\nnext: %s\n", r.Environment, next)
		return err
	}
	rows := [][]string{{"RELEASE", "CLIENTS", "SHARE", "STORES", "LAST SEEN"}}
	for _, k := range r.Releases {
		rows = append(rows, []string{
			k.Release, fmt.Sprint(k.Clients), fmt.Sprintf("%.1f %%", 100*float64(k.Clients)/float64(r.Clients)), fmt.Sprint(k.Stores),
			k.LastSeen.Format(time.RFC3339),
		})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s of %s", counted(r.Clients, "client"), r.Environment)
	if !r.Since.IsZero() {
		fmt.Fprintf(w, " since %s", r.Since.Format(time.RFC3339))
	}
	if r.Left > 0 {
		fmt.Fprintf(w, "; %s not seen since then", counted(r.Left, "client"))
	}
	_, err := fmt.Fprintln(w)
	return err
}

// duration reads a flag that takes 12h or 90d; 0 where it is not given.
func duration(c *cli.Context, flag string) (time.Duration, error) {
	if !c.IsSet(flag) {
		return 0, nil
	}
	d, err := config.ParseDuration(c.String(flag))
	if err != nil || d == 0 {
		return 0, errs.Invalidf("--%s: %q is not a duration", flag, c.String(flag)).Hintf("write a number and a unit: 90d, 12h, 30m, 2w")
	}
	return d, nil
}

func (a *app) censusImportCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "take over which client was last seen when, and on which release",
		ArgsUsage: "FILE",
		UsageText: "headgate census import clients.csv --env prod\nheadgate census import clients.jsonl --env prod --format json",
		Description: `The file is CSV with a header, JSON objects one after the other, or a JSON array of them. Each row has

  storeId   the store
  clientId  LiveStore's clientId
  release   the app's release that the client ran: 1.2.0
  lastSeen  when, as in 2027-01-31T12:00:00Z

and may have more, which is ignored. The app's telemetry or the sync backend's log knows them. What is newer than what is
known replaces it, so that files may overlap and may be imported twice. When a line is wrong nothing is imported. A time in
the future, by up to a day, counts as now.

--source sync says that the sync Worker wrote the file: it makes the stores in it watched, as of the first lastSeen in it,
so that a rollout may open them. All else only adds clients that hold a store back.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			choice("source", "who says it: `SOURCE`", string(rollout.FromImport), string(rollout.FromSync), string(rollout.FromFlag), string(rollout.FromTelemetry)),
		},
		Action: a.censusImport,
	}
}

func (a *app) censusImport(c *cli.Context) error {
	typed := c.Args().First()
	file, err := openCensus(a.abs(typed), typed, a.now())
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was read
	file.from = rollout.Source(c.String("source"))
	return a.withOperations(c, func(ops operations) error {
		p := a.progress("imported clients", 0)
		defer p.Done()
		r, err := ops.Import(c.Context, filepath.Base(typed), file.clients(p), a.by(""))
		if err != nil {
			return err
		}
		return a.render(r, func(w io.Writer) error {
			fmt.Fprintf(w, "imported %s of %s\n", counted(r.Clients, "client"), r.Environment)
			if file.ahead > 0 {
				fmt.Fprintf(w, "%s lay in the future and counts as now\n", counted(file.ahead, "lastSeen"))
			}
			_, err := fmt.Fprintf(w, "\nnext: %s\n", r.NextActions[0])
			return err
		})
	})
}
