package cli

import (
	"github.com/urfave/cli/v2"

	"headgate/rollout"
)

func (a *app) rolloutCommand() *cli.Command {
	act := func(command rollout.Command, usage, description, example string, flags ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: string(command), Usage: usage, ArgsUsage: "NAME", UsageText: example, Description: description,
			Flags: append(flags, envFlag(), &cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
				&cli.BoolFlag{Name: "dry-run", Usage: "say what would happen, change nothing"}),
			Action: func(c *cli.Context) error { return a.rolloutAct(c, command) },
		}
	}
	force := func() cli.Flag {
		return &cli.BoolFlag{Name: "force", Usage: "in spite of what is not ready; needs --reason"}
	}
	return &cli.Command{
		Name: "rollout", Category: daily, Usage: "open a new version of an event to the fleet, store by store",
		UsageText: "headgate rollout create TodoCreated --to v2\nheadgate rollout start todo-created-v2 --env prod\nheadgate rollout status todo-created-v2 --env prod",
		Description: `A rollout is a file, headgate/rollouts/NAME.yaml (headgate help rollout-file), and how far it is in an environment. It
opens a store only when every client that is active there reads the new version, step by step, and publishes the result
as flags: headgate flags export --env ENV. headgate serve moves it, or headgate rollout tick every few minutes.

  draft, readers shipping, reader gate, ramp, point of no return, full, draining, drained, retired

What is asked for too early is refused with exit status 4. An abort is never held.`,
		Subcommands: []*cli.Command{
			a.rolloutCreateCommand(), a.rolloutListCommand(), a.rolloutCheckCommand(), a.rolloutStatusCommand(), a.rolloutTickCommand(),
			act(rollout.Start, "begin: wait for the readers, then open step by step",
				`Holds the file against the recorded releases first. After an abort or an undo it begins anew, with the same stores first.`,
				"headgate rollout start todo-created-v2 --env prod"),
			act(rollout.Hold, "stand still; what is open stays open", "", "headgate rollout pause todo-created-v2 --env prod --reason=errors-in-the-app"),
			act(rollout.Resume, "go on: the step bakes anew, and its analysis begins anew", "", "headgate rollout resume todo-created-v2 --env prod"),
			act(rollout.Promote, "go to the next step now, or past the point of no return",
				`From the reader gate to the first step, from a step to the next one, with --full from the point of no return to all
stores, and from drained to retired. An approval that is missing, an analysis that has not succeeded, a freeze, and with
--full stores that are not eligible hold it: exit status 4, unless forced with a reason.`,
				"headgate rollout promote todo-created-v2 --env prod\nheadgate rollout promote todo-created-v2 --env prod --full",
				&cli.BoolFlag{Name: "full", Usage: "past the point of no return: open every store"}, force()),
			act(rollout.Approve, "say that it may go on; not by who started it", "Before the ramp for the ramp, in it for all stores. HEADGATE_ACTOR says who you are.",
				"headgate rollout approve todo-created-v2 --env prod"),
			act(rollout.Abort, "close every store, at once",
				`The flags have weight 0 again, with the same order and places. It waits for no freeze and no approval. It stops new
events only: those in the logs stay, and their readers stay in the app.`,
				"headgate rollout abort todo-created-v2 --env prod --reason=wrong-priority"),
			act(rollout.Undo, "go back to the old version when all stores have the new one; needs a reason", "",
				"headgate rollout undo todo-created-v2 --env prod --reason=wrong-priority"),
			a.rolloutHistoryCommand(), a.rolloutSimulateCommand(),
		},
	}
}

func envFlag() cli.Flag { return &cli.StringFlag{Name: "env", Usage: "the environment `ENV`"} }
