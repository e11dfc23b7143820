package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
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

// An evaluated flag is what one store gets.
type evaluated struct {
	Flag       string            `json:"flag"`
	Store      livestore.StoreID `json:"store"`
	AppVersion string            `json:"appVersion"`
	Value      any               `json:"value"` // an event's name, or a plain value; "" when the flag is disabled
	Variant    string            `json:"variant"`
	Reason     string            `json:"reason"`
	Why        string            `json:"why"`
}

func (a *app) flagsEval(c *cli.Context) error {
	cfg, file, err := a.flagsOf(c)
	if err != nil {
		return err
	}
	f, err := a.flagNamed(file, c.Args().First())
	if err != nil {
		return err
	}
	stores := []livestore.StoreID{livestore.StoreID(c.String("store"))}
	if name := c.String("env"); name != "" {
		env, err := a.environment(c.Context, cfg, name)
		if err != nil {
			return err
		}
		var known []livestore.StoreID
		for _, s := range env.Stores {
			if s.Schema == f.Schema || f.Schema == "" {
				known = append(known, s.ID)
			}
		}
		if stores, err = storesAsked(known, stores[0], env.Name); err != nil {
			return errs.As(err).At("%s", cfg.Where(env.Line))
		}
	}
	out := []evaluated{}
	for _, s := range stores {
		e := f.Evaluate(rollout.Caller{Store: s, AppVersion: c.String("app-version")})
		out = append(out, evaluated{f.Key, s, c.String("app-version"), e.Value, e.Variant, string(e.Reason), e.Why})
	}
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

// storesAsked are all of an environment's stores, or the one that is named.
func storesAsked(known []livestore.StoreID, named livestore.StoreID, env string) ([]livestore.StoreID, error) {
	if named == "" {
		if len(known) == 0 {
			return nil, errs.NotFoundf("environment %s has no store of the flag's schema", env).Hintf("name a store with --store, without --env")
		}
		return known, nil
	}
	var words []string
	for _, s := range known {
		if s == named {
			return []livestore.StoreID{named}, nil
		}
		words = append(words, string(s))
	}
	return nil, errs.NotFoundf("environment %s has no store %q of the flag's schema", env, named).
		Hintf("there are: %s; without --env any store can be asked for", strings.Join(words, ", "))
}
