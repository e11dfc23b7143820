package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
)

func (a *app) stateReplayCommand() *cli.Command {
	return &cli.Command{
		Name:  "replay",
		Usage: "make the state that a client of a release holds, from a log",
		UsageText: "headgate state replay --log file:data/demo/eventlog@6.db --release 1.3.0 --out state.db\n" +
			"headgate state replay --env prod --release 1.3.0 --jobs 4\n" +
			"headgate state replay --env prod --store demo --release 1.3.0 --out state.db",
		Description: `Runs the log's events through the release's own materializers, in the sandbox, as LiveStore does when a client
rebuilds its state. Without --release it is the code as it lies here, recorded or not; without --out the state is only
digested. With several stores --out is a directory that gets STORE.db for each.

An event that a rebuild would fail on is poison: it is reported with its place, and no state is written. Tables that the
log can't yield (a dump holds no clientOnly events) are named, and so is what may make the state another one than a
client's.

The state at the last confirmed event is kept as a checkpoint in .headgate/checkpoints beside headgate.yaml, with mode
0600, as large as the state. The next replay of that store and release goes on from there if the events up to it are
still the same. A checkpoint that nobody used for 30 days is removed, and the oldest go while they are larger than
4 GiB together; the directory may be deleted at any time.

Ends with 3 if an event is poison, 5 if that, or another failure, met only some of several stores.`,
		Flags: logFlags(
			&cli.StringFlag{Name: "release", Usage: "replay under the recorded `RELEASE`"},
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.StringFlag{Name: "out", Usage: "write the state to `FILE`, or the states of several stores into it as a directory"},
			&cli.IntFlag{Name: "jobs", Usage: "replay `N` stores at a time; as many as there are processors by default"},
			&cli.BoolFlag{Name: "no-checkpoint", Usage: "start at the beginning, and keep nothing"},
			&cli.BoolFlag{Name: "force", Usage: "replace a file at --out that headgate did not write"},
		),
		Action: a.stateReplay,
	}
}

// A replayTask is one store to replay.
type replayTask struct {
	log    storeLog
	target replay.Target
	schema string
	out    string // empty for none
}

func (a *app) stateReplay(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if err := aboveZero(c, "jobs"); err != nil {
		return err
	}
	tasks, err := a.replayTasks(c, cfg)
	if err != nil {
		return err
	}
	l, err := a.launcher()
	if err != nil {
		return err
	}
	var checkpoints *replay.Checkpoints
	if !c.Bool("no-checkpoint") {
		checkpoints = checkpointsOf(cfg)
	}
	reports, failed := a.replayAll(c.Context, l, tasks, checkpoints, workers(c.Int("jobs")))
	if err := c.Context.Err(); err != nil {
		return context.Cause(c.Context)
	}
	if len(tasks) == 1 && failed[0] != nil {
		return failed[0]
	}
	if err := a.renderReplays(reports); err != nil {
		return err
	}
	return replayOutcome(reports, failed)
}

// checkpointsOf is where the app's replays are kept to go on from.
func checkpointsOf(cfg *config.Config) *replay.Checkpoints {
	return &replay.Checkpoints{Dir: filepath.Join(cfg.Dir, ".headgate", "checkpoints")}
}

// replayTasks finds out which stores are replayed under which release, and checks where the states would go.
func (a *app) replayTasks(c *cli.Context, cfg *config.Config) ([]replayTask, error) {
	logs, err := a.logs(c)
	if err != nil {
		return nil, err
	}
	schemas, err := a.schemasOf(c, cfg, logs)
	if err != nil {
		return nil, err
	}
	targets := map[string]replay.Target{}
	var tasks []replayTask
	for i, log := range logs {
		name := schemas[i]
		if want := c.String("schema"); want != "" && name != want {
			continue
		}
		if _, ok := targets[name]; !ok {
			s, err := cfg.Schema(name)
			if err != nil {
				return nil, err
			}
			var b build
			if v := c.String("release"); v != "" {
				b, err = recorded(cfg, s, v)
			} else {
				b, err = a.evaluate(c.Context, cfg, s, cfg.Dir, workingTree)
			}
			if err != nil {
				return nil, err
			}
			targets[name] = replay.Target{Release: b.Release, Program: programOf(b), Locate: b.Script.LocateTrace}
		}
		tasks = append(tasks, replayTask{log: log, target: targets[name], schema: name})
	}
	if len(tasks) == 0 {
		return nil, errs.NotFoundf("no store of the environment is of schema %q", c.String("schema")).At("%s", cfg.Path)
	}
	if out := c.String("out"); out != "" {
		if err := a.placeStates(a.abs(out), tasks, c.Bool("force")); err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// schemasOf names the schema of each log: what headgate.yaml says of the store, else --schema, else the only one.
func (a *app) schemasOf(c *cli.Context, cfg *config.Config, logs []storeLog) ([]string, error) {
	out := make([]string, len(logs))
	if c.IsSet("log") {
		s, err := cfg.Schema(c.String("schema"))
		out[0] = s.Name
		return out, err
	}
	if want := c.String("schema"); want != "" {
		if _, err := cfg.Schema(want); err != nil {
			return nil, err
		}
	}
	env, err := a.environment(c.Context, cfg, c.String("env"))
	if err != nil {
		return nil, err
	}
	for i, l := range logs {
		s, _ := env.Store(l.store)
		out[i] = s.Schema
	}
	return out, nil
}

// placeStates says where each state goes, and refuses to replace a file that is not headgate's.
func (a *app) placeStates(out string, tasks []replayTask, force bool) error {
	info, err := os.Stat(out)
	isDir := err == nil && info.IsDir()
	switch {
	case len(tasks) == 1 && !isDir:
		tasks[0].out = out
	case len(tasks) > 1 && err == nil && !isDir:
		return errs.Invalidf("--out must be a directory: there are %d stores", len(tasks)).At("%s", out)
	default:
		if err := os.MkdirAll(out, 0o700); err != nil {
			return errs.New(errs.Internal, "can't create the directory").At("%s", out).Because(err)
		}
		for i := range tasks {
			tasks[i].out = filepath.Join(out, fileName(tasks[i].log.name())+".db")
		}
	}
	for i, t := range tasks {
		for _, other := range tasks[:i] {
			if strings.EqualFold(other.out, t.out) {
				return errs.Invalidf("the states of %s and %s would have the same name", other.log.name(), t.log.name()).At("%s", t.out).
					Hintf("replay them one at a time, with --store")
			}
		}
		if force {
			continue
		}
		if ours, err := replay.Replaceable(t.out); err != nil {
			return err
		} else if !ours {
			return errs.Refusedf("the file is not a state that headgate wrote").At("%s", t.out).
				Hintf("choose another --out; --force replaces it").Then(a.line + " --force")
		}
	}
	return nil
}

// fileName makes a file name of a store's id.
func fileName(store string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' {
			return '_'
		}
		return r
	}, store)
}

// replayAll replays the stores, jobs at a time. A store that fails does not end the others.
func (a *app) replayAll(ctx context.Context, l script.Launcher, tasks []replayTask, cp *replay.Checkpoints, jobs int) ([]replayReport, []error) {
	reports := make([]replayReport, len(tasks))
	several := len(tasks) > 1
	var p *progress
	if several {
		p = a.progress("replayed stores", int64(len(tasks)))
		defer p.Done()
	}
	return reports, inParallel(ctx, jobs, len(tasks), func(i int) error {
		res, err := a.replayOne(ctx, l, tasks[i], cp, several)
		reports[i] = newReplayReport(tasks[i], res, err)
		if several {
			p.Add(1)
		}
		return err
	})
}

func (a *app) replayOne(ctx context.Context, l script.Launcher, t replayTask, cp *replay.Checkpoints, quiet bool) (res replay.Result, err error) {
	r, err := t.log.open(ctx)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	o := replay.Options{Out: t.out, Checkpoints: cp, Store: t.log.name(), Now: a.now}
	if o.Out == "" {
		tmp, err := os.MkdirTemp("", "headgate-replay-") // 0700
		if err != nil {
			return res, errs.New(errs.Internal, "can't make a temporary directory").Because(err)
		}
		defer os.RemoveAll(tmp) //nolint:errcheck // best effort; it is in the system's temporary directory
		o.Out = filepath.Join(tmp, "state.db")
	}
	if !quiet {
		p, err := a.replayProgress(ctx, r, t)
		if err != nil {
			return res, err
		}
		defer p.Done()
		o.Progress = p.Add
	}
	res, err = replay.Replay(ctx, l, t.target, r, o)
	if e := errs.As(err); e != nil && e.Where == "" {
		e.At("%s", t.log.url)
	}
	return res, err
}

func (a *app) replayProgress(ctx context.Context, r eventlog.Reader, t replayTask) (*progress, error) {
	head, err := r.Head(ctx)
	if err != nil {
		return nil, err
	}
	return a.progress(fmt.Sprintf("replaying %s under %s", t.log.name(), nameOf(t.target.Release)), max(head.Events, 0)), nil
}
