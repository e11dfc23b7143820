package cli

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/livestore"
)

func (a *app) flagsEvalCommand() *cli.Command {
	return &cli.Command{
		Name:      "eval",
		Usage:     "say which version a store's clients emit, and why",
		ArgsUsage: "FLAG",
		UsageText: "headgate flags eval TodoCreated --store demo --app-version 1.5.0\n" +
			"headgate flags eval event.TodoCreated --env prod --app-version 1.5.0\n" +
			"headgate flags eval TodoCreated --env prod --store demo --app-version 1.5.0 --format json",
		Description: `Evaluates the flag as an app that got the exported file would. With --env and no --store: for each of the
environment's stores; with both, the store must be one of them.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "store", Usage: "the `STORE` that the event is for"},
			&cli.StringFlag{Name: "app-version", Usage: "the `RELEASE` of the build that would emit"},
			&cli.StringFlag{Name: "env", Usage: "look the stores up in the environment `ENV`"},
		},
		Action: a.flagsEval,
	}
}

func (a *app) flagsEval(c *cli.Context) error {
	q := operate.FlagQuestion{Flag: c.Args().First(), Store: livestore.StoreID(c.String("store")), AppVersion: c.String("app-version")}
	if c.String("env") == "" && (a.server == "" || a.server == noServer) {
		_, file, err := a.flags()
		if err != nil {
			return err
		}
		f, err := operate.FlagNamed(file, q.Flag)
		if err != nil {
			return a.nearby(err)
		}
		return a.writeEvaluated([]operate.Evaluated{operate.Evaluate(f, q.Store, q.AppVersion)})
	}
	return a.withOperations(c, func(ops operations) error {
		out, err := ops.EvaluateFlag(c.Context, q)
		if err != nil {
			return err
		}
		return a.writeEvaluated(out)
	})
}

func (a *app) writeEvaluated(out []operate.Evaluated) error {
	if len(out) == 1 {
		return a.render(out[0], func(w io.Writer) error {
			e := out[0]
			_, err := fmt.Fprintf(w, "%s  %s\n  %s: %s\n", a.stdout.paint(strong, orNothing(e.Value)), e.Variant, e.Reason, e.Why)
			return err
		})
	}
	return a.render(map[string]any{"evaluations": out}, func(w io.Writer) error {
		rows := [][]string{{"STORE", "VALUE", "VARIANT", "REASON", "WHY"}}
		for _, e := range out {
			rows = append(rows, []string{string(e.Store), orNothing(e.Value), e.Variant, e.Reason, e.Why})
		}
		return table(w, rows)
	})
}

// orNothing is a value in text: a disabled flag gives none.
func orNothing(value any) string {
	if value == "" {
		return "(the app's own default)"
	}
	return fmt.Sprint(value)
}
