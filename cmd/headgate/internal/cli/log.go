package cli

import (
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/openlog"
)

func (a *app) logCommand() *cli.Command {
	return &cli.Command{
		Name:     "log",
		Category: plumbing,
		Usage:    "read, copy and repair the event logs of stores",
		UsageText: "headgate log stats --env local\n" +
			"headgate log export --env prod --store acme --out acme.json\n" +
			"headgate log transform acme.json --corrections headgate/corrections/main.yaml --out better.json\n" +
			"headgate log import better.json --env prod --store acme-2",
		Description: `A log is named by --log: file:PATH is a client's eventlog@6.db or the folder that holds it, dump:PATH a file of
` + "`livestore sync export`" + `; with --store, sync-cf:URL is a sync backend and postgres:DSN a database with sync-electric's
tables; or by --env and --store, as headgate.yaml lists it: a backend that wants to know who asks can only be read that
way, see ` + "`headgate help config`" + `. A client's log is copied to a private temporary folder and read there, so a running
app is not disturbed. Mind that a sync backend makes a store of every id that it is asked for.`,
		Subcommands: []*cli.Command{
			a.logStatsCommand(),
			a.logTailCommand(),
			a.logExportCommand(),
			a.logVerifyCommand(),
			a.logTransformCommand(),
			a.logImportCommand(),
		},
	}
}

func logFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "log", Usage: "read the log `URL`: file:PATH, dump:PATH, sync-cf:URL, sync-cf+http:URL or postgres:DSN"},
		&cli.StringFlag{Name: "env", Usage: "read the logs of the environment `ENV`"},
		&cli.StringFlag{Name: "store", Usage: "the store `STORE`"},
	}, more...)
}

// logs returns the logs that --log, or --env and --store, name: at least one.
func (a *app) logs(c *cli.Context) ([]storeLog, error) {
	store := livestore.StoreID(c.String("store"))
	env := c.String("env")
	if c.IsSet("log") {
		if fromVariable, _ := a.lookupEnv(flagEnv("env")); env != "" && env != fromVariable {
			return nil, errs.Invalidf("--log and --env exclude each other").Hintf("--log names one log, --env takes the logs of headgate.yaml")
		}
		u, err := openlog.Parse(c.String("log"), a.dir)
		if err != nil {
			return nil, err
		}
		if u.Remote() && store == "" {
			return nil, errs.Invalidf("which store? %s has many", u).Hintf("name one with --store")
		}
		return []storeLog{{store: store, url: u}}, nil
	}
	cfg, err := a.config()
	if err != nil {
		if errs.CodeOf(err) == errs.NotFound && env == "" {
			return nil, errs.Invalidf("no log is named").Hintf("name one with --log file:PATH, dump:PATH, sync-cf:URL, sync-cf+http:URL or postgres:DSN, or run inside an app with a %s", config.FileName)
		}
		return nil, err
	}
	e, err := a.environment(c.Context, cfg, env)
	if err != nil {
		return nil, err
	}
	stores := e.Stores
	if store != "" {
		s, err := a.store(c.Context, cfg, e, store)
		if err != nil {
			return nil, err
		}
		stores = []config.Store{s}
	}
	var logs []storeLog
	for _, s := range stores {
		l, err := a.storeLog(cfg, e, s)
		if err != nil {
			return nil, err
		}
		logs = append(logs, l)
	}
	if len(logs) == 0 {
		return nil, errs.NotFoundf("environment %q has no stores", e.Name).At("%s", cfg.Where(e.Line)).
			Hintf("list some there, as in `- {id: demo, schema: main, log: \"file:PATH\"}`, or name one log with --log").
			Then("headgate help config")
	}
	return logs, nil
}

// storeIDs lists stores for a hint.
func storeIDs(stores []config.Store) string {
	if len(stores) == 0 {
		return "none"
	}
	var ids []string
	for _, s := range stores {
		ids = append(ids, string(s.ID))
	}
	return strings.Join(ids, ", ")
}

// oneLog returns the one log of a command that reads one.
func (a *app) oneLog(c *cli.Context) (storeLog, error) {
	logs, err := a.logs(c)
	if err != nil {
		return storeLog{}, err
	}
	if len(logs) > 1 {
		var ids []string
		for _, l := range logs {
			ids = append(ids, string(l.store))
		}
		return storeLog{}, errs.Invalidf("the environment has several stores: name one with --store").Hintf("there are: %s", strings.Join(ids, ", "))
	}
	return logs[0], nil
}

// readable turns the error of an event that can't be read into one for the user.
func readable(err error) error {
	var bad *eventlog.Malformed
	if errors.As(err, &bad) {
		return bad.Err
	}
	return err
}
