package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/corrective"
	"headgate/internal/errs"
)

func (a *app) rollbackInstructionsCommand() *cli.Command {
	var names []string
	for _, g := range corrective.Guides() {
		names = append(names, g.Adapter)
	}
	return &cli.Command{
		Name:  "instructions",
		Usage: "say how a client's local data is removed, adapter by adapter, the least destructive way first",
		UsageText: "headgate rollback instructions\nheadgate rollback instructions --adapter node --store demo --base .data\n" +
			"headgate rollback instructions --adapter expo --format markdown",
		Description: `What lies where, what to type in which order, what is lost for good, what stays, how to see that it worked, and whether
headgate's own tests went this way or it was only read. Without --adapter: for the adapters in headgate.yaml. It contacts
nothing and changes nothing. For many clients at once: headgate reset --help.

Adapters: ` + strings.Join(names, ", ") + `.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "adapter", Usage: "for the adapter `NAME`; may be repeated"},
			&cli.StringFlag{Name: "store", Usage: "write `STORE` where the store's id belongs"},
			&cli.StringFlag{Name: "base", Usage: "write `DIR` for the directory of the stores' files"},
			&cli.StringFlag{Name: "schema", Usage: "the adapters of the store kind `SCHEMA` only"},
			formatFlag("markdown"),
		},
		Action: a.rollbackInstructions,
	}
}

func (a *app) rollbackInstructions(c *cli.Context) error {
	adapters := c.StringSlice("adapter")
	if len(adapters) == 0 {
		cfg, err := a.config()
		if err != nil {
			if e := errs.As(err); e != nil && e.Code == errs.NotFound {
				e.Hintf("or name the adapter: --adapter web")
			}
			return err
		}
		schemas, err := selectSchemas(cfg, c.String("schema"))
		if err != nil {
			return err
		}
		for _, s := range schemas {
			for _, name := range s.Adapters {
				if !slices.Contains(adapters, string(name)) {
					adapters = append(adapters, string(name))
				}
			}
		}
	}
	guides := []corrective.Guide{}
	for _, name := range adapters {
		g, err := corrective.GuideFor(name)
		if err != nil {
			return err
		}
		guides = append(guides, g.For(c.String("store"), c.String("base")))
	}
	next := []string{"headgate reset --help"}
	return a.render(struct {
		Guides      []corrective.Guide `json:"guides"`
		NextActions []string           `json:"next_actions"`
	}{guides, next}, func(w io.Writer) error {
		if err := each(w, guides, a.writeGuide); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "\nfor many clients at once: %s\n", next[0])
		return err
	}, rendering{"markdown", func(w io.Writer) error { return each(w, guides, writeGuideMarkdown) }})
}

// proofText says how far a way is known.
func proofText(p corrective.Proof) string {
	if p == corrective.ByTest {
		return "headgate's tests went this way"
	}
	return "read in the adapter's sources, not tried"
}

func (a *app) writeGuide(w io.Writer, g corrective.Guide) error {
	fmt.Fprintf(w, "%s, LiveStore %s\n", a.stdout.paint(strong, g.Title), g.LiveStore)
	for _, p := range g.Places {
		fmt.Fprintf(w, "  %s: %s\n", p.What, p.Where)
	}
	for i, way := range g.Ways {
		title := way.Title
		if way.Kind == corrective.FullReset {
			title += " (loses data)"
		}
		fmt.Fprintf(w, "\n  %s\n", a.stdout.paint(strong, fmt.Sprintf("%d. %s", i+1, title)))
		if way.Not != "" {
			fmt.Fprintf(w, "     %s\n", way.Not)
		}
		writeSteps(w, "     ", way.Steps)
		for _, l := range way.Loses {
			fmt.Fprintf(w, "     %s %s\n", a.stdout.paint(bad, "loses:"), l)
		}
		if len(way.Loses) == 0 {
			fmt.Fprintf(w, "     %s nothing\n", a.stdout.paint(good, "loses:"))
		}
		for _, k := range way.Keeps {
			fmt.Fprintf(w, "     keeps: %s\n", k)
		}
		fmt.Fprintf(w, "     it worked when\n")
		writeSteps(w, "       ", way.Check)
		fmt.Fprintf(w, "     %s\n", proofText(way.Proof))
	}
	fmt.Fprintln(w)
	for _, n := range g.Notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
	return nil
}

func writeSteps(w io.Writer, indent string, steps []corrective.Step) {
	for _, s := range steps {
		fmt.Fprintf(w, "%s- %s\n", indent, s.Do)
		if s.Run != "" {
			fmt.Fprintf(w, "%s    %s\n", indent, s.Run)
		}
	}
}

func writeGuideMarkdown(w io.Writer, g corrective.Guide) error {
	fmt.Fprintf(w, "## Reset a store: %s\n\nLiveStore %s.\n\n", g.Title, g.LiveStore)
	for _, p := range g.Places {
		fmt.Fprintf(w, "- **%s**: %s\n", p.What, p.Where)
	}
	for i, way := range g.Ways {
		fmt.Fprintf(w, "\n### %d. %s\n\n", i+1, way.Title)
		if way.Not != "" {
			fmt.Fprintf(w, "%s.\n\n", way.Not)
		}
		markdownSteps(w, way.Steps)
		fmt.Fprintln(w)
		lost := way.Loses
		if len(lost) == 0 {
			lost = []string{"nothing"}
		}
		for _, l := range lost {
			fmt.Fprintf(w, "- **Loses:** %s\n", l)
		}
		for _, k := range way.Keeps {
			fmt.Fprintf(w, "- **Keeps:** %s\n", k)
		}
		fmt.Fprintf(w, "- **Known:** %s\n\nIt worked when:\n\n", proofText(way.Proof))
		markdownSteps(w, way.Check)
	}
	fmt.Fprintln(w)
	for _, n := range g.Notes {
		fmt.Fprintf(w, "> %s\n", n)
	}
	return nil
}

func markdownSteps(w io.Writer, steps []corrective.Step) {
	for i, s := range steps {
		fmt.Fprintf(w, "%d. %s\n", i+1, s.Do)
		if s.Run != "" {
			fmt.Fprintf(w, "\n   ```\n   %s\n   ```\n\n", s.Run)
		}
	}
}
